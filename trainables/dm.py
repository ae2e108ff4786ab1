"""DM as raydd searches it: its hyperparameters, and where its space, settings and distiller are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from raydd.errors import ConfigError, SpaceError
from raydd.registry import Context, Distiller
from search_spaces import cells
from search_spaces import dm as spaces
from trainables.published import PublishedMethod

if TYPE_CHECKING:
    import torch

    from raydd.data import DataSplits
    from raydd.storage import AssetStore

DEFAULT_NET = "convnet"


def check_net(spec: str, default: str, field: str = "net") -> str:
    """`spec`, the value of `field`, if it names a network whose train and eval mode agree, as features need it.

    torch stays unloaded for the default, which is known to be right.
    """
    if spec != default:
        from raydd import nets

        if not nets.per_image(spec):
            raise ConfigError(
                f"{field}: {spec!r} has batch norm, which makes an image's features depend on the other images of its "
                "batch; allowed are networks without, such as convnet, resnet18 or vgg11"
            )
    return spec


def convolutional(spec: str) -> bool:
    """Whether a network has convolutions; torch stays unloaded for the default."""
    if spec == DEFAULT_NET:
        return True
    from raydd import nets

    return nets.convolutional(spec)


def check_augmentation(value: str | None) -> str | None:
    """`value`, if it is None, empty or names an augmentation."""
    if value:
        from raydd import augment

        augment.build(value)
    return value


def check_factor(factor: int, size: int, form: str = "single") -> None:
    """Refuse a factor that leaves cells of an image of `size` px without a pixel of it.

    Raises:
        SpaceError: which factors are allowed.
    """
    if not cells.fits(factor, size, form):
        allowed = ", ".join(str(other) for other in range(1, cells.MOST + 1) if cells.fits(other, size, form))
        decoded = "" if form == "single" else f" with decode {form}"
        raise SpaceError(
            f"factor: {factor}{decoded} leaves cells without pixels in images of {size} px; allowed: {allowed}"
        )


def forward(spec: str, context: Context) -> float:
    """GFLOP of one image's way through a network; back to the pixels of a frozen one it is as much again."""
    from raydd import nets

    return nets.gigaflops(spec, channels=context.channels, size=context.size, classes=context.classes)


class DMHyperparameters(BaseModel):
    """Every number of DM; the defaults are the paper's.

    Attributes:
        lr_img: step size on the normalised pixels, > 0.
        momentum: of SGD on the pixels, in [0, 1).
        batch_real: real images per class and iteration; at most all of the class are used.
        net: matching network, drawn anew in every iteration.
        init: `real` starts at real training images, `noise` at N(0, 1).
        augmentation: DSA strategy in matching and evaluation; None is the dataset's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    lr_img: Annotated[float, Field(gt=0.0)] = 1.0
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    batch_real: Annotated[int, Field(ge=1)] = 256
    net: str = DEFAULT_NET
    init: Literal["real", "noise"] = "real"
    augmentation: str | None = None

    @field_validator("net")
    @classmethod
    def _net_known(cls, value: str) -> str:
        return check_net(value, DEFAULT_NET)

    @field_validator("augmentation")
    @classmethod
    def _augmentation_known(cls, value: str | None) -> str | None:
        return check_augmentation(value)


class DMMethod(PublishedMethod[DMHyperparameters]):
    """Distribution matching."""

    name = "dm"
    title = "Distribution matching"
    reference = "Zhao, Bilen: Dataset Condensation with Distribution Matching, WACV 2023, arXiv 2110.04181"
    real_side = frozenset({"net", "batch_real", "augmentation"})
    spaces = spaces
    model: type[DMHyperparameters] = DMHyperparameters

    def gigaflops(self, context: Context, values: Mapping[str, Any]) -> float:
        """`batch_real` images of each class forward; the synthetic ones forward, and back through a frozen network.

        A class with fewer real images counts as if it had `batch_real`: `context` does not know how many it has.
        """
        chosen = self.model.model_validate(dict(values))
        return context.classes * (chosen.batch_real + 2 * context.ipc) * forward(chosen.net, context)

    def distiller(
        self,
        hyperparameters: BaseModel,
        context: Context,
        data: DataSplits,
        assets: AssetStore,
        seed: int,
        device: torch.device,
    ) -> Distiller:
        """A distiller at iteration 0; DM needs no assets."""
        from raydd.distillation import DM as Distillation

        assert isinstance(hyperparameters, DMHyperparameters)
        return Distillation(hyperparameters, context, data, seed, device, assets.bank)


DM = DMMethod()
