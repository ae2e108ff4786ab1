"""IDC as raydd searches it: its hyperparameters, and where its space, settings and distiller are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from raydd.errors import SpaceError
from raydd.registry import Context, Distiller
from search_spaces import cells
from search_spaces import idc as spaces
from trainables.dm import DEFAULT_NET, check_augmentation, check_factor, check_net, convolutional, forward
from trainables.published import PublishedMethod

if TYPE_CHECKING:
    import torch

    from raydd.data import DataSplits
    from raydd.storage import AssetStore

MATCHING = "idc:color_crop_cutout"
BASE_IPC = 10
BASE_SIDES = {"mnist": 28}  # argument.py: the side for which lr_img was chosen; 32 elsewhere, 224 on ImageNet
SIDE, LARGE_SIDE = 32, 224
TRAINING = 3  # forward passes that a training step is worth
DOUBLE_BACKWARD = 7  # and a gradient distance with its way back to the pixels: 1 + 2 + 4


class IDCHyperparameters(BaseModel):
    """Every number of IDC; the defaults are the authors' for CIFAR-10.

    Attributes:
        lr_img: step size on pixels in [0, 1] for 10 images a class of 32 px, > 0; see `step_size`.
        lr_scaling: whether the authors' scaling with IPC and image size is applied.
        momentum: of SGD on the pixels, in [0, 1).
        update: `per_class` steps class after class, as the authors do; `joint` makes one step for all.
        metric: distance of gradients, see `raydd.losses.gradient_distance`.
        factor: sub-images along each side of a stored image, >= 1; 1 is IDC-I.
        decode: `single` decodes with `factor`, `multi` with 1 to `factor`, `bound` bounds the views while
            matching and is `single` afterwards.
        init: `mix` starts every sub-image at a real image of its own; `real` whole images; `noise`.
        batch_real: real images per class and matching step.
        batch_syn_max: most views of a class in a matching step.
        net: matching network.
        matching_augmentation: of matching; one draw for a class's real images and views.
        inner_loop: matching steps that a network lives for.
        n_data: real images that it is trained on after each.
        batch_train, lr_net, momentum_net, weight_decay_net: of that training.
        early: epochs over all real images before a new network is matched.
        cutmix: probability of CutMix in that training, in [0, 1].
        eval_cutmix: the same when a network is trained on the set; None is `cutmix`.
        eval_augmentation: augmentation then; None is the dataset's DSA ops as IDC applies them, without cutout where
            CutMix is on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    lr_img: Annotated[float, Field(gt=0.0)] = 5e-3
    lr_scaling: bool = True
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    update: Literal["per_class", "joint"] = "per_class"
    metric: Literal["mse", "l1", "l1_mean", "cos"] = "mse"
    factor: Annotated[int, Field(ge=1, le=cells.MOST)] = 2
    decode: Literal["single", "multi", "bound"] = "single"
    init: Literal["mix", "real", "noise"] = "mix"
    batch_real: Annotated[int, Field(ge=1)] = 64
    batch_syn_max: Annotated[int, Field(ge=1)] = 128
    net: str = DEFAULT_NET
    matching_augmentation: str = MATCHING
    inner_loop: Annotated[int, Field(ge=1)] = 100
    n_data: Annotated[int, Field(ge=0)] = 2000
    batch_train: Annotated[int, Field(ge=1)] = 64
    lr_net: Annotated[float, Field(gt=0.0)] = 0.01
    momentum_net: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    weight_decay_net: Annotated[float, Field(ge=0.0)] = 5e-4
    early: Annotated[int, Field(ge=0)] = 0
    cutmix: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    eval_cutmix: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    eval_augmentation: str | None = None

    @field_validator("net")
    @classmethod
    def _net_known(cls, value: str) -> str:
        return check_net(value, DEFAULT_NET)

    @field_validator("matching_augmentation", "eval_augmentation")
    @classmethod
    def _augmentation_known(cls, value: str | None) -> str | None:
        return value if value == MATCHING else check_augmentation(value)

    def step_size(self, context: Context) -> float:
        """lr_img * (ipc / 10) * (size / base)^2 (argument.py), or `lr_img` itself without the scaling."""
        if not self.lr_scaling:
            return self.lr_img
        base = BASE_SIDES.get(context.dataset, LARGE_SIDE if context.size >= LARGE_SIDE else SIDE)
        return self.lr_img * context.ipc / BASE_IPC * (context.size / base) ** 2

    def views(self, ipc: int) -> int:
        """Images of a class after decoding, as the set is used."""
        factors = range(1, self.factor + 1) if self.decode == "multi" else (self.factor,)
        return ipc * sum(factor**2 for factor in factors)

    @property
    def net_augmentation(self) -> str:
        """Augmentation of the network's training: that of matching, without cutout where CutMix is on."""
        return without_cutout(self.matching_augmentation) if self.cutmix else self.matching_augmentation

    def evaluation(self, context: Context) -> dict[str, Any]:
        """`augmentation` and `cutmix` for training a network on the set."""
        mixing = self.cutmix if self.eval_cutmix is None else self.eval_cutmix
        if self.eval_augmentation is not None:
            return {"augmentation": self.eval_augmentation, "cutmix": mixing}
        ops = context.augmentation.removeprefix("idc:")
        strategy = f"idc:{ops}" if ops not in ("", "none") else ""
        return {"augmentation": without_cutout(strategy) if mixing else strategy, "cutmix": mixing}


def without_cutout(strategy: str) -> str:
    """`strategy` without its cutout op."""
    prefix, colon, ops = strategy.rpartition(":")
    kept = [op for op in ops.split("_") if op != "cutout"]
    return f"{prefix}{colon}{'_'.join(kept)}" if kept else ""


class IDCMethod(PublishedMethod[IDCHyperparameters]):
    """Efficient synthetic-data parameterisation, by gradient matching."""

    name = "idc"
    title = "IDC: gradient matching of multi-formation images"
    reference = "Kim et al.: Dataset Condensation via Efficient Synthetic-Data Parameterization, ICML 2022, 2205.14959"
    unit = "matching steps"
    protocol = "idc"
    iterations = 200_000
    real_side = frozenset(
        {
            "net",
            "batch_real",
            "matching_augmentation",
            "inner_loop",
            "n_data",
            "batch_train",
            "lr_net",
            "momentum_net",
            "weight_decay_net",
            "early",
            "cutmix",
        }
    )
    spaces = spaces
    model: type[IDCHyperparameters] = IDCHyperparameters

    def check(self, context: Context, values: Mapping[str, Any]) -> None:
        """Refuse a factor that leaves sub-images without pixels, and a network without gradients to match."""
        check_factor(values["factor"], context.size, values["decode"])
        if not convolutional(values["net"]):
            raise SpaceError(
                f"net: {values['net']!r} has no convolutions, whose gradients are matched; take another network, such "
                "as convnet or resnet18"
            )

    def gigaflops(self, context: Context, values: Mapping[str, Any]) -> float:
        """Real gradients, the distance's way back to the pixels, and the network's training."""
        chosen = self.model.model_validate(dict(values))
        real = TRAINING * chosen.batch_real
        synthetic = DOUBLE_BACKWARD * min(chosen.batch_syn_max, chosen.views(context.ipc))
        images = context.classes * (real + synthetic) + TRAINING * chosen.n_data
        return images * forward(chosen.net, context)

    def training_images(self, context: Context, values: Mapping[str, Any]) -> int:
        """All views of all images."""
        return context.classes * self.model.model_validate(dict(values)).views(context.ipc)

    def distiller(
        self,
        hyperparameters: BaseModel,
        context: Context,
        data: DataSplits,
        assets: AssetStore,
        seed: int,
        device: torch.device,
    ) -> Distiller:
        """A distiller at iteration 0; IDC needs no assets."""
        from raydd.distillation import IDC as Distillation

        assert isinstance(hyperparameters, IDCHyperparameters)
        return Distillation(hyperparameters, context, data, seed, device, assets.bank)


IDC = IDCMethod()
