"""SRe2L as raydd searches it: its hyperparameters, its teacher, its space, its distiller and its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from raydd.errors import ConfigError, SpaceError
from raydd.registry import AssetSpec, Context, Distiller
from search_spaces import sre2l as spaces
from trainables.dm import forward
from trainables.published import PublishedMethod

if TYPE_CHECKING:
    import torch

    from raydd.data import DataSplits
    from raydd.distillation import Recovery, Relabelling
    from raydd.storage import AssetStore, DistilledSet

DEFAULT_TEACHER = "resnet18-bn"
TEACHER = frozenset({"teacher", "teacher_epochs", "teacher_lr", "teacher_batch", "teacher_weights"})
"""Hyperparameters that the teacher depends on; all trials of a study share it."""
SMALL_JITTER, LARGE_JITTER = 4, 32  # the authors' at 32 and 64 px, and at 224 px


def check_teacher(spec: str) -> str:
    """`spec`, if it names a network with batch norm; torch stays unloaded for the default."""
    if spec != DEFAULT_TEACHER:
        from raydd import nets

        try:
            alone = nets.per_image(spec)
        except ConfigError as error:
            problem = str(error).removeprefix("net: ")
            raise ConfigError(
                f"teacher: {problem}; it needs batch norm, as resnet18-bn and convnet-bn have it"
            ) from None
        if alone:
            raise ConfigError(
                f"teacher: {spec!r} has no batch norm, whose statistics are what images are recovered from; take a "
                "network that has it, such as resnet18-bn or convnet-bn"
            )
    return spec


def check_fits(spec: str, context: Context) -> None:
    """Refuse a teacher that cannot take the images; the default can, and torch stays unloaded for it."""
    if spec == DEFAULT_TEACHER:
        return
    try:
        forward(spec, context)
    except ConfigError as error:
        raise ConfigError(f"teacher: {str(error).removeprefix('net: ')}") from None


class SRe2LHyperparameters(BaseModel):
    """Every number of SRe2L; the defaults are the authors' for CIFAR-100.

    Attributes:
        lr: of Adam on the normalised pixels, > 0; it falls to 0 along half a cosine.
        recover_iterations: of an image; None is the study's `iterations`.
        lambda_mean: weight of the batch norms' means, >= 0; the authors' r_bn.
        lambda_var: weight of their variances, >= 0; without effect where `coupled`.
        coupled: whether `lambda_mean` is the weight of the variances too.
        first: weight of the first batch norm, >= 0; the others have 1.
        jitter: largest roll in pixels; None is an eighth of the side, at most 4, and 32 from 128 px on.
        crop: whether images are cropped, enlarged and flipped before they are rolled, one draw a batch.
        init: `noise` starts at N(0, 1), `real` at real training images.
        batch: classes that are recovered at once.
        ids_at_once: images of a class that are recovered at once, each with statistics of its own.
        teacher: network with batch norm that the data are squeezed into.
        teacher_epochs, teacher_lr, teacher_batch: of its training.
        teacher_weights: where its weights come from instead: `public`, or a path; see `AssetSpec`.
        labels: `online`, `stored`, `image` or `hard`; see `raydd.distillation.Relabelling`.
        temperature: of the soft labels and of the network's softmax, in [0.01, 10000].
        teacher_mode: `eval`, or `train` as in the authors' CIFAR scripts, which label by statistics of the mixed batch.
        mixup: alpha of MixUp when a network is trained on the set, >= 0; None is the protocol's. From 64 px on
            protocols mix by CutMix, and it has to be None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    lr: Annotated[float, Field(gt=0.0)] = 0.25
    recover_iterations: Annotated[int, Field(ge=1)] | None = None
    lambda_mean: Annotated[float, Field(ge=0.0)] = 0.01
    lambda_var: Annotated[float, Field(ge=0.0)] = 0.01
    coupled: bool = True
    first: Annotated[float, Field(ge=0.0)] = 10.0
    jitter: Annotated[int, Field(ge=0)] | None = None
    crop: bool = False
    init: Literal["noise", "real"] = "noise"
    batch: Annotated[int, Field(ge=1)] = 100
    ids_at_once: Annotated[int, Field(ge=1)] = 1
    teacher: str = DEFAULT_TEACHER
    teacher_epochs: Annotated[int, Field(ge=1)] = 200
    teacher_lr: Annotated[float, Field(gt=0.0)] = 0.1
    teacher_batch: Annotated[int, Field(ge=1)] = 128
    teacher_weights: str = ""
    labels: Literal["online", "stored", "image", "hard"] = "online"
    temperature: Annotated[float, Field(ge=0.01, le=10_000.0)] = 30.0
    teacher_mode: Literal["eval", "train"] = "eval"
    mixup: Annotated[float, Field(ge=0.0)] | None = None

    @field_validator("teacher")
    @classmethod
    def _teacher_known(cls, value: str) -> str:
        return check_teacher(value)

    @property
    def variance_weight(self) -> float:
        """lambda_var, or lambda_mean where one weight serves both."""
        return self.lambda_mean if self.coupled else self.lambda_var

    def length(self, context: Context) -> int:
        """Recovery iterations of an image."""
        return context.iterations if self.recover_iterations is None else self.recover_iterations

    def class_batches(self, classes: int) -> int:
        """Runs of classes that an id is recovered in."""
        return -(-classes // self.batch)

    def rounds(self, ipc: int) -> int:
        """Runs of ids that the images of a class are recovered in."""
        return -(-ipc // self.ids_at_once)

    def jitter_reach(self, size: int) -> int:
        """Largest roll in pixels, of images of `size` px."""
        if self.jitter is not None:
            return self.jitter
        if size >= spaces.IMAGENET_SIDE:
            return LARGE_JITTER
        return min(SMALL_JITTER, max(1, round(size / 8)))

    def label_recipe(self) -> dict[str, Any]:
        """What of the evaluation recipe is about soft labels."""
        return (
            {}
            if self.labels == "hard"
            else {"temperature": self.temperature, "teacher_mode": self.teacher_mode}
        )


def augmentation(context: Context, kind: str) -> str:
    """Strategy that networks are trained with, of CIFAR's or of larger images; digits are never flipped."""
    if "flip" not in context.augmentation:
        return "standard:crop"
    return "standard:crop_flip" if kind == "cifar" else "standard:rrc_flip"


def squeeze(values: SRe2LHyperparameters, context: Context) -> AssetSpec:
    """The teacher: SGD with momentum and a cosine (squeeze_cifar.py), crops and flips."""
    recipe = {
        "epochs": values.teacher_epochs,
        "batch": values.teacher_batch,
        "lr": values.teacher_lr,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "augmentation": augmentation(context, "cifar"),
    }
    return AssetSpec("teacher", values.teacher, recipe, weights=values.teacher_weights)


def relabelling(values: SRe2LHyperparameters, evaluation: Mapping[str, Any]) -> Relabelling:
    """How a set with this evaluation recipe is labelled."""
    from raydd.distillation import Relabelling
    from raydd.evaluation import protocols

    recipe = protocols.get(evaluation["protocol"]).recipe(
        evaluation["augmentation"],
        evaluation.get("epochs"),
        evaluation.get("cutmix"),
        evaluation.get("mixup"),
        evaluation.get("temperature"),
    )
    return Relabelling(values.labels, evaluation, recipe)


class SRe2LMethod(PublishedMethod[SRe2LHyperparameters]):
    """Squeeze, recover and relabel."""

    name = "sre2l"
    short = "SRe2L"
    title = "SRe2L: squeeze into a network, recover images from it, relabel them"
    reference = "Yin, Xing, Shen: Squeeze, Recover and Relabel, NeurIPS 2023, arXiv 2306.13092"
    unit = "recovery iterations"
    protocol = "sre2l-cifar"
    progress_floor = 0.25
    iterations = 1000
    real_side = TEACHER
    spaces = spaces
    model: type[SRe2LHyperparameters] = SRe2LHyperparameters
    imagenet_protocol: ClassVar[str] = "sre2l-imagenet"

    def protocol_for(self, context: Context) -> str:
        """The authors' for images of this size."""
        own = {"cifar": self.protocol, "tiny": "sre2l-tiny", "imagenet": self.imagenet_protocol}
        return own[spaces.side_kind(context.size)]

    def evaluation(self, values: SRe2LHyperparameters, context: Context) -> dict[str, Any]:
        """How to train on a set."""
        recipe = {
            "protocol": self.protocol_for(context),
            "net": values.teacher,
            "epochs": None,
            "augmentation": augmentation(context, spaces.side_kind(context.size)),
            **values.label_recipe(),
        }
        return recipe if values.mixup is None else {**recipe, "mixup": values.mixup}

    def notes(self, context: Context) -> list[str]:
        """Where nothing can be stopped early."""
        if self.defaults(context).rounds(context.ipc) > 1:
            return []
        return [
            f"All {context.ipc} image{'s' * (context.ipc > 1)} of a class are recovered at once: there is nothing "
            "between the initial images and the end, and no trial is stopped early."
        ]

    def assets(self, context: Context) -> list[AssetSpec]:
        """The teacher."""
        return [squeeze(self.defaults(context), context)]

    def check(self, context: Context, values: Mapping[str, Any]) -> None:
        """Refuse a teacher that the images are too small for, labels recorded from a teacher in train mode, rolls
        beyond the image, and a MixUp that would be ignored.
        """
        check_fits(values["teacher"], context)
        if values["teacher_mode"] == "train" and values["labels"] in ("stored", "image"):
            raise SpaceError(
                f"teacher_mode: 'train' labels batches as they come, and labels are {values['labels']!r}; allowed "
                "with these is eval, and with train labels=online"
            )
        if values["jitter"] is not None and values["jitter"] >= context.size:
            raise SpaceError(
                f"jitter: {values['jitter']} pixels are a roll beyond images of {context.size} px; allowed are 0 to "
                f"{context.size - 1}"
            )
        if values["mixup"] is not None and spaces.side_kind(context.size) != "cifar":
            raise SpaceError(
                f"mixup: {values['mixup']:g} would be ignored, because the protocol for images of {context.size} px, "
                f"{self.protocol_for(context)}, mixes by CutMix; it is allowed under {spaces.TINY_SIDE} px"
            )

    def total_iterations(self, context: Context, values: Mapping[str, Any]) -> int:
        """Recovery iterations of a batch, times the batches."""
        chosen = self.model.model_validate(dict(values))
        return chosen.length(context) * chosen.rounds(context.ipc) * chosen.class_batches(context.classes)

    def finished_ids(self, context: Context, values: Mapping[str, Any]) -> Sequence[int]:
        """Those of every round."""
        chosen = self.model.model_validate(dict(values))
        return [*range(chosen.ids_at_once, context.ipc, chosen.ids_at_once), context.ipc]

    def recipe(
        self,
        hyperparameters: BaseModel,
        context: Context,
        data: DataSplits,
        assets: AssetStore,
        device: torch.device,
    ) -> dict[str, Any]:
        """See `evaluation`; nothing is labelled."""
        assert isinstance(hyperparameters, SRe2LHyperparameters)
        return self.evaluation(hyperparameters, context)

    def gigaflops(self, context: Context, values: Mapping[str, Any]) -> float:
        """The images of a batch through the teacher and back, batches being equally large on average."""
        chosen = self.model.model_validate(dict(values))
        return 2 * self.images_a_step(context, chosen) * forward(chosen.teacher, context)

    @staticmethod
    def images_a_step(context: Context, values: SRe2LHyperparameters) -> float:
        """Images of an iteration, on average."""
        batches = values.rounds(context.ipc) * values.class_batches(context.classes)
        return context.classes * context.ipc / batches

    def distiller(
        self,
        hyperparameters: BaseModel,
        context: Context,
        data: DataSplits,
        assets: AssetStore,
        seed: int,
        device: torch.device,
    ) -> Distiller:
        """A distiller at iteration 0; the teacher is trained if it is not there."""
        assert isinstance(hyperparameters, SRe2LHyperparameters)
        teacher = assets.teacher(squeeze(hyperparameters, context))
        how = relabelling(hyperparameters, self.evaluation(hyperparameters, context))
        return self.recovery()(hyperparameters, context, data, teacher, how, seed, device)

    def recovery(self) -> type[Recovery]:
        """What recovers the images; torch stays unloaded until it is asked for."""
        from raydd.distillation import SRe2L as Distillation

        return Distillation

    def labelled(
        self,
        distilled: DistilledSet,
        hyperparameters: BaseModel,
        context: Context,
        data: DataSplits,
        assets: AssetStore,
        device: torch.device,
    ) -> DistilledSet:
        """The same images with the teacher's labels, by the set's own recipe and these hyperparameters' temperature."""
        from raydd.distillation import labelled

        assert isinstance(hyperparameters, SRe2LHyperparameters)
        how = relabelling(hyperparameters, {**distilled.recipe, **hyperparameters.label_recipe()})
        hard = hyperparameters.labels == "hard"
        teacher = None if hard else assets.teacher(squeeze(hyperparameters, context))
        return labelled(distilled, teacher, how, device)


SRE2L = SRe2LMethod()
