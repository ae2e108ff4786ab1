"""Which labels a study's sets carry, as far as it is known before anything is distilled: for its tags, and for the
person who starts it.
"""

from __future__ import annotations

from raydd.registry import AssetSpec, Context, Method

SAME_TEACHER = " with the same teacher's labels"  # what real images are called that a report labels


def regime(method: Method, context: Context) -> str:
    """`soft` for a method that gives sets the labels of a teacher (`Method.labelled`), else `hard`.

    Such a method may have a hyperparameter `labels`, with which `hard` leaves the teacher's aside.
    """
    if type(method).labelled is Method.labelled:
        return "hard"
    return "hard" if method.defaults(context).model_dump().get("labels") == "hard" else "soft"


def pretrained(method: Method, context: Context) -> list[AssetSpec]:
    """Assets of the method whose weights were trained elsewhere, on images that nobody here can name."""
    return [spec for spec in method.assets(context) if spec.weights]


def tags(method: Method, context: Context) -> dict[str, str]:
    """MLflow tags of the parent and of every child run: `raydd.labels`, and `raydd.teacher_pretrained` where there is
    a teacher.
    """
    kind, elsewhere = regime(method, context), bool(pretrained(method, context))
    taught = {"raydd.teacher_pretrained": str(elsewhere).lower()} if elsewhere or kind == "soft" else {}
    return {"raydd.labels": kind, **taught}


def cautions(method: Method, context: Context) -> list[str]:
    """A sentence for every network that may have seen more than the training images; to be read before launch."""
    return [seen_elsewhere(spec.net) for spec in pretrained(method, context)]


def seen_elsewhere(net: str) -> str:
    """What a network whose weights were trained elsewhere does to the figures that rest on it."""
    return (
        f"Warning: {net} has weights that were trained elsewhere. It may have seen validation and test images: search "
        "estimates and test figures that rest on it may be too high, and are not to be put beside others."
    )
