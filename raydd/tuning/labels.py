"""Which labels a study's sets carry, as far as it is known before anything is distilled: for its tags, and for the
person who starts it.
"""

from __future__ import annotations

from raydd.registry import AssetSpec, Context, Method
from raydd.wording import seen_elsewhere as seen_elsewhere

SAME_TEACHER = " with the same teacher's labels"  # what real images are called that a report labels


def regime(method: Method, context: Context) -> str:
    """`soft` for a method that gives sets the labels of a teacher (`Method.labelled`), else `hard`.

    Such a method may have a hyperparameter `labels`, with which `hard` leaves the teacher's aside.
    """
    if not relabels(method):
        return "hard"
    return "hard" if method.defaults(context).model_dump().get("labels") == "hard" else "soft"


def relabels(method: Method) -> bool:
    """Whether the method has labels of its own to give (`Method.labelled`), to its sets and to real images."""
    return type(method).labelled is not Method.labelled


def pretrained(method: Method, context: Context) -> list[AssetSpec]:
    """Assets of the method whose weights were trained elsewhere, on images that nobody here can name."""
    return [spec for spec in method.assets(context) if spec.weights]


def tags(method: Method, context: Context) -> dict[str, str]:
    """MLflow tags of the parent and of every child run: `raydd.labels`, `raydd.label_kind` (`hard`, `image`, `online`
    or `stored`), with soft labels `raydd.teacher` (its network), and `raydd.teacher_pretrained` where there is one.
    What a method does not say in hyperparameters `labels` and `teacher` is left out.
    """
    chosen, elsewhere = regime(method, context), bool(pretrained(method, context))
    tags = {"raydd.labels": chosen}
    if chosen == "hard":
        tags["raydd.label_kind"] = "hard"
    else:
        values = method.defaults(context).model_dump()
        said = {"raydd.label_kind": values.get("labels"), "raydd.teacher": values.get("teacher")}
        tags |= {name: value for name, value in said.items() if isinstance(value, str)}
    if elsewhere or chosen == "soft":
        tags["raydd.teacher_pretrained"] = str(elsewhere).lower()
    return tags


def cautions(method: Method, context: Context) -> list[str]:
    """A sentence for every network that may have seen more than the training images; to be read before launch."""
    return [seen_elsewhere(spec.net) for spec in pretrained(method, context)]
