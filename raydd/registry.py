"""Methods: what a distillation method must offer to be searched, and how it is found.

A method is announced through the entry-point group ``raydd.methods``; the object behind the entry point
is an instance of `Method`. raydd's own methods are found the same way as anybody else's.
"""

from __future__ import annotations

import importlib.metadata
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from raydd.errors import ConfigError, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from pydantic import BaseModel

    from raydd.data import DataSplits
    from raydd.storage import AssetStore, DistilledSet

GROUP = "raydd.methods"

Scalar = bool | int | float | str


@dataclass(frozen=True)
class Context:
    """The facts that a method's defaults, space and assets may depend on; JSON-able, the same for all trials.

    Attributes:
        dataset: catalog name (`cifar10`) or, for a folder, the folder's name.
        channels, size, classes: of the images, after resizing; size is the side in pixels.
        ipc: synthetic images per class, >= 1.
        iterations: how much of `Method.unit` a full run does.
        augmentation: DSA strategy that suits the dataset (no `flip` for digits).
        fixed: values that hold for every trial, from `search.fix` or `--hp`; assets may depend on these
            and on no other hyperparameter.
        measured: what `Method.measure` returned; empty before it ran.
        precision, compiled: how networks are computed, see `raydd.devices.Compute`.
    """

    dataset: str
    channels: int
    size: int
    classes: int
    ipc: int
    iterations: int
    augmentation: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    precision: str = "fp32"
    compiled: bool = False


class Suggests(Protocol):
    """What a space may ask of a trial: Optuna's three kinds of suggestion, with Optuna's meaning."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A float in [low, high]."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """An int in [low, high]."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""


@dataclass(frozen=True)
class AssetSpec:
    """A network, or a pool of them, trained on real data once per study (`AssetStore.get` trains or finds it).

    Weights that were trained elsewhere may have seen the validation images; who uses them says so.

    Attributes:
        kind: short word that starts the asset's folder name, such as `pool`.
        net: net specification as `raydd.nets.build` takes it.
        recipe: JSON-able training recipe; everything that changes the weights.
        count: number of networks.
        seed: asset seed; 0 unless told, and not the study's, so that studies share assets.
        weights: empty trains the networks here; `public` takes torchvision's ImageNet weights
            (`raydd.nets.public_weights`), anything else is a path to a file of tensors. The recipe plays no part then.
    """

    kind: str
    net: str
    recipe: Mapping[str, Any]
    count: int = 1
    seed: int = 0
    weights: str = ""


class Distiller(Protocol):
    """A running distillation. It knows neither Ray nor MLflow nor Optuna.

    `step` advances by one `Method.unit` and returns its loss terms (`total` among them) as floats;
    `distilled` may be called at any time and consumes no random stream; a distiller that loads the
    `state_dict` of another continues it bit for bit on the CPU. `measures` and `pictures` are asked for at
    evaluations and consume no random stream either. A distiller whose steps do not work on all images has an
    attribute `images_per_step`: how many the next step works on. One whose sets a teacher labels at some expense
    has a method `unlabelled`, which gives them with hard labels; `Method.labelled` then does the rest.
    """

    iteration: int

    @property
    def progress(self) -> float:
        """Share of the work that is done, in [0, 1]."""

    def step(self) -> Mapping[str, float]:
        """Do one iteration; raises `TrialDiverged` when a loss or a pixel is not finite."""

    def distilled(self) -> DistilledSet:
        """The distilled set as it stands now, detached and on the CPU."""

    def measures(self) -> Mapping[str, float]:
        """What the method measures of its images besides losses, such as `mue`; may be empty."""

    def pictures(self) -> Mapping[str, bytes]:
        """PNG pictures besides the preview of the set, by name; may be empty."""

    def state_dict(self) -> dict[str, torch.Tensor | Scalar]:
        """Flat dict of tensors and JSON scalars."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""


class Method(ABC):
    """A distillation method as raydd searches it; every attribute below is required of a plug-in.

    Attributes:
        name: the entry point's name, lower case.
        title, reference: one line each, for people.
        short: how people write the name, in verdict lines; empty is `name` in capitals.
        unit: what `--iterations` counts, in the plural.
        progress_floor: lowest progress at which stopping a trial is honest, in (0, 1].
        protocol: evaluation protocol of the paper, a name of `raydd.evaluation.protocols`.
        base: name of the method this one stands on, or None; reports compare with it.
        iterations: default number of iterations (the paper's).
        real_side: hyperparameters that the real side depends on; never searched.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    short: ClassVar[str] = ""
    unit: ClassVar[str] = "iterations"
    progress_floor: ClassVar[float] = 0.0
    protocol: ClassVar[str] = "dsa"
    base: ClassVar[str | None] = None
    iterations: ClassVar[int] = 20_000
    real_side: ClassVar[frozenset[str]] = frozenset()

    @property
    @abstractmethod
    def hyperparameters(self) -> type[BaseModel]:
        """Model of every number of the method; defaults are the paper's, bounds are what is allowed."""

    @abstractmethod
    def defaults(self, context: Context) -> BaseModel:
        """Published setting for (dataset, IPC), else the nearest IPC's, else CIFAR-10's; then `context.fixed`."""

    @abstractmethod
    def points(self, context: Context) -> list[dict[str, Scalar]]:
        """Published settings for exactly this dataset and IPC, best known first; may be empty."""

    @abstractmethod
    def space(self, trial: Suggests, context: Context) -> dict[str, Scalar]:
        """Draw the searched hyperparameters with `trial.suggest_*`; flat names, define-by-run."""

    @abstractmethod
    def distiller(
        self,
        hyperparameters: BaseModel,
        context: Context,
        data: DataSplits,
        assets: AssetStore,
        seed: int,
        device: torch.device,
    ) -> Distiller:
        """A distiller at iteration 0."""

    def base_of(self, context: Context) -> str | None:
        """Name of the method that this one stands on as `context.fixed` has it; `base` unless a method says more."""
        return self.base

    def protocol_for(self, context: Context) -> str:
        """Name of the evaluation protocol that sets of `context` carry; `protocol` unless it depends on the data."""
        return self.protocol

    def default_name(self, context: Context) -> str:
        """What trial 0 is called in tables, such as `CIFAR-10's published setting, carried over`."""
        return "default setting"

    def notes(self, context: Context) -> list[str]:
        """Sentences for the user before launch, such as which terms vanish at IPC 1."""
        return []

    def assets(self, context: Context) -> list[AssetSpec]:
        """Assets that every trial of a study needs; depends on `context.fixed`, never on a searched value."""
        return []

    def check(self, context: Context, values: Mapping[str, Any]) -> None:  # noqa: B027, most have nothing to refuse
        """Refuse values that cannot be run together in `context`, such as parts smaller than a pixel.

        It is asked before a study is launched (of trial 0, and of the ends of narrowed ranges), before `raydd.distill`
        trains assets, and at the start of every trial. What a value alone must be belongs into `hyperparameters`.

        Args:
            context: dataset facts and IPC.
            values: of all hyperparameters, by name.

        Raises:
            SpaceError: one sentence with the hyperparameter, its value and what is allowed.
        """

    def total_iterations(self, context: Context, values: Mapping[str, Any]) -> int:
        """What `Distiller.iteration` is when the distillation is done, >= 1; see `gigaflops` for `values`.

        It differs from `context.iterations` where images are made one after the other.
        """
        return context.iterations

    def gigaflops(self, context: Context, values: Mapping[str, Any]) -> float:
        """Network arithmetic of one iteration in GFLOP, >= 0; 0 where it is unknown.

        It decides whether compiling pays (`raydd.compiling`) and has no influence on any image.

        Args:
            context: dataset facts and IPC.
            values: of all hyperparameters, by name.
        """
        return 0.0

    def training_images(self, context: Context, values: Mapping[str, Any]) -> int:
        """Images of a distilled set that a network is trained on, after decoding; see `gigaflops` for `values`."""
        return context.classes * context.ipc

    def finished_ids(self, context: Context, values: Mapping[str, Any]) -> Sequence[int]:
        """Images of a class that are finished after each part of the work, ascending, `context.ipc` being the last;
        empty where all images are worked on together. See `gigaflops` for `values`.

        Where images are made one after the other, a set on the way has the finished ones alone.
        """
        return ()

    def recipe(
        self,
        hyperparameters: BaseModel,
        context: Context,
        data: DataSplits,
        assets: AssetStore,
        device: torch.device,
    ) -> dict[str, Any]:
        """Evaluation recipe of this method's sets (`raydd.storage.DistilledSet.recipe`), which comparisons share.

        A method with costly labels says it without making a set, as the default does.

        Args:
            hyperparameters, context, data, assets, device: as `distiller` takes them.
        """
        return self.distiller(hyperparameters, context, data, assets, 0, device).distilled().recipe

    def labelled(
        self,
        distilled: DistilledSet,
        hyperparameters: BaseModel,
        context: Context,
        data: DataSplits,
        assets: AssetStore,
        device: torch.device,
    ) -> DistilledSet:
        """The same images with the labels that this method gives its own: as they are, unless it has a teacher.

        What is compared with a method of soft labels, such as real images, is labelled by the same function. The
        set keeps its recipe, but for what `hyperparameters` say about labels.

        Args:
            distilled: any set of `data`.
            hyperparameters, context, data, assets, device: as `distiller` takes them.
        """
        return distilled

    def measure(
        self, context: Context, data: DataSplits, assets: AssetStore, seed: int, device: torch.device
    ) -> dict[str, float]:
        """Numbers that the space depends on, measured once per study on train data."""
        return {}


def names() -> list[str]:
    """Names of all installed methods, sorted."""
    return sorted({point.name for point in importlib.metadata.entry_points(group=GROUP)})


def get(name: str) -> Method:
    """The installed method called `name`.

    Raises:
        ConfigError: no such method, or its entry point does not give a `Method`.
    """
    for point in importlib.metadata.entry_points(group=GROUP, name=name):
        try:
            method = point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"method: {name!r} is installed as {point.value!r} and cannot be loaded: {error}"
            ) from error
        if not isinstance(method, Method):
            raise ConfigError(
                f"method: entry point {point.value!r} is not an instance of raydd.registry.Method"
            )
        return method
    raise ConfigError(f"method: {unknown('method', name, names())}")
