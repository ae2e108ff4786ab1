"""Which labels the networks of an evaluation are trained on: hard ones, or a teacher's at a temperature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from raydd.devices import Compute
from raydd.errors import ArtifactError, ConfigError, unknown
from raydd.evaluation import protocols
from raydd.evaluation.protocols import Protocol
from raydd.training import Labels, Recipe, ReplayedLabels, TeacherLabels, accuracies
from raydd.training.labels import MODES, check_mode
from raydd.training.recipe import check_temperature

if TYPE_CHECKING:
    from raydd.data import ImageData
    from raydd.nets import Network
    from raydd.storage import DistilledSet

REGIMES = ("soft", "hard")

_accuracies: dict[tuple[Any, ...], float] = {}


@dataclass(frozen=True, eq=False)
class Labelling:
    """What a network is trained on besides the images.

    Attributes:
        targets: int64 (N',) classes, or float32 (N', classes) probabilities, on the CPU.
        labels: makes what labels a network's batches instead of their targets; None where the targets hold.
        stream: (seed, purpose) of the batches, where they must be those of a replay; None where they are free.
        mode: of a teacher that labels every batch, `eval` or `train`; None where none does.
    """

    targets: Tensor
    labels: Callable[[], Labels] | None = None
    stream: tuple[int, str] | None = None
    mode: str | None = None


def label_regime(distilled: DistilledSet, asked: str | None = None) -> str:
    """`soft` or `hard`: what is asked for, or what the set has.

    Raises:
        ConfigError: `asked` is neither, or soft labels are asked of a set that has none.
    """
    own = "hard" if distilled.label_kind == "hard" else "soft"
    if asked is None:
        return own
    if asked not in REGIMES:
        raise ConfigError(f"evaluation.labels: {unknown('labels', asked, REGIMES)}")
    if (asked, own) == ("soft", "hard"):
        raise ConfigError(
            "evaluation.labels: 'soft' is asked of a set that carries hard labels only; use 'hard'"
        )
    return asked


def recipe_for(
    distilled: DistilledSet, protocol: Protocol, chosen: str, epochs: int, temperature: float | None
) -> Recipe:
    """The protocol's recipe with what the set has of its own; hard labels are trained on at temperature 1.

    Args:
        distilled: the set.
        protocol: how networks are trained.
        chosen: `soft` or `hard`.
        epochs: E of the protocol, >= 1.
        temperature: T of soft labels, see `Recipe`; None is the set's own, else the protocol's.

    Raises:
        ConfigError: `epochs` or `temperature` is out of range, or a temperature is asked for with hard labels.
    """
    own = distilled.recipe
    if temperature is not None:
        check_temperature(temperature, "evaluation.temperature")
        if chosen == "hard":
            raise ConfigError(f"evaluation.temperature: hard labels have none, got {temperature:g}")
    recipe = protocol.recipe(
        own["augmentation"],
        epochs,
        own.get("cutmix"),
        own.get("mixup"),
        own.get("temperature") if temperature is None else temperature,
    )
    return replace(recipe, temperature=1.0, temperature_squared=False) if chosen == "hard" else recipe


def carried(
    distilled: DistilledSet, protocol: str, chosen: str, temperature: float | None = None
) -> dict[str, str | float]:
    """What of the set's recipe goes into a training by another protocol than its own.

    Args:
        distilled, chosen, temperature: see `recipe_for`.
        protocol: name of the protocol.

    Returns:
        Some of `augmentation`, `cutmix`, `mixup` and `temperature`; nothing where the protocol is the set's own.

    Raises:
        ConfigError: an unknown protocol.
    """
    own = distilled.recipe
    if protocol == own["protocol"]:
        return {}
    other = protocols.get(protocol)
    takes = {
        "augmentation": other.augments and own["augmentation"] not in ("", "none"),
        "cutmix": other.cutmix is not None,
        "mixup": other.mixup is not None,
        "temperature": chosen == "soft" and temperature is None,
    }
    return {name: own[name] for name, taken in takes.items() if taken and own.get(name) is not None}


def labelling(
    distilled: DistilledSet,
    chosen: str,
    recipe: Recipe,
    protocol: str,
    mode: str | None,
    compute: Compute,
) -> Labelling:
    """The labels of a set under a recipe.

    Args:
        distilled: the set.
        chosen: `soft` or `hard`.
        recipe: of the training.
        protocol: its name; stored labels belong to batches of the set's own.
        mode: of a teacher that labels batches: `eval`, or `train`, with statistics of the batch; None is the set's.
        compute: how the teacher is computed.

    Raises:
        ConfigError: an unknown mode, or one for labels that no teacher gives now; or stored labels that are those of
            other batches, or of fewer epochs.
        ArtifactError: the teacher that labels the batches is not here.
    """
    kind = distilled.label_kind
    if mode is not None:
        check_mode(mode, "evaluation.teacher_mode")
        if chosen == "hard" or kind != "online":
            held = "hard" if chosen == "hard" else kind
            raise ConfigError(
                f"evaluation.teacher_mode: {mode!r} is asked for, but with {held} labels no teacher labels batches"
            )
    if chosen == "hard":
        return Labelling(distilled.labels())
    if kind == "image":
        soft = distilled.soft_labels(recipe.temperature)
        assert soft is not None  # no such set is made or loaded without
        return Labelling(soft)
    if kind == "stored":
        return _replayed(distilled, recipe, protocol)

    teacher = teacher_network(distilled)
    manner = mode or distilled.recipe.get("teacher_mode") or MODES[0]
    size, batch = distilled.manifest["size"], min(recipe.batch, len(distilled.labels()))

    def labels() -> Labels:
        return TeacherLabels(teacher, compute, recipe.temperature, mode=manner, batch=batch, size=size)

    return Labelling(distilled.labels(), labels, mode=manner)


def _replayed(distilled: DistilledSet, recipe: Recipe, protocol: str) -> Labelling:
    own = distilled.recipe["protocol"]
    if protocol != own:
        raise ConfigError(
            f"evaluation.protocol: the set's stored labels are those of {own!r}'s batches, got {protocol!r}; use hard "
            f"labels, or {own!r}"
        )
    replay = distilled.replay
    if replay is None:
        raise ConfigError(
            "evaluation.labels: the set's stored labels were those of other batches than its recipe makes; label it "
            "anew, or use hard labels"
        )
    if recipe.epochs > len(replay):
        raise ConfigError(
            f"evaluation.epochs: the set's stored labels last for {len(replay)} epochs, got {recipe.epochs}; ask for "
            "as many or fewer (steps are counted in epochs), or use hard labels"
        )
    record = distilled.label_facts["replay"]
    seed, purpose, recorded = record["seed"], record["purpose"], Recipe.from_json(record["recipe"])

    def labels() -> Labels:
        return ReplayedLabels(replay, recipe.temperature, recipe=recorded, seed=seed, purpose=purpose)

    return Labelling(distilled.labels(), labels, (seed, purpose))


def teacher_network(distilled: DistilledSet) -> Network:
    """The teacher that labels a set's batches: on the CPU, frozen, in eval mode.

    Raises:
        ArtifactError: it is not here.
    """
    if distilled.teacher is None:
        facts = distilled.label_facts["teacher"]
        raise ArtifactError(
            f"the set is labelled by its teacher ({facts['net']}), which is neither in its file nor, with the sha256 "
            f"{facts['sha256'][:12]}, at assets/{facts['asset']}/model.safetensors in a folder above it "
            "or in the home; put it there, or use hard labels"
        )
    manifest = distilled.manifest
    return distilled.teacher.network(manifest["channels"], manifest["size"], manifest["classes"])


def teacher_accuracy(distilled: DistilledSet, data: ImageData, compute: Compute) -> float | None:
    """Top-1 accuracy of a set's teacher on a split, in [0, 1]; None where it is not here.

    It is measured once in a process, for all networks, sets and evaluations that ask.
    """
    if distilled.teacher is None:
        return None
    key = (
        distilled.teacher.weights,
        distilled.teacher.net,
        data.fingerprint,
        distilled.normalisation,
        compute,
    )
    if key not in _accuracies:
        (_accuracies[key],) = accuracies([teacher_network(distilled)], data, distilled.normalisation, compute)
    return _accuracies[key]
