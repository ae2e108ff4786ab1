"""IDM as raydd searches it: its hyperparameters, and where its space, settings and distiller are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from raydd.registry import Context, Distiller
from search_spaces import cells
from search_spaces import idm as spaces
from trainables.dm import DMHyperparameters, DMMethod, check_factor, forward

if TYPE_CHECKING:
    import torch

    from raydd.data import DataSplits
    from raydd.storage import AssetStore

TRAINING = 3  # forward passes that a training step is worth
QUEUE = frozenset(
    {
        "net_start",
        "net_num",
        "net_generate_interval",
        "fetch_net_num",
        "model_train_steps",
        "batch_train",
        "lr_net",
        "momentum_net",
        "weight_decay_net",
        "acc_window",
    }
)


class IDMHyperparameters(DMHyperparameters):
    """Every number of IDM; the defaults are the authors' for CIFAR-10 at IPC 10.

    Attributes:
        lr_img: step size on the normalised pixels, > 0.
        init: `mix` starts every part of an image at a real image of its own, downscaled.
        factor: parts along each side of a stored image, >= 1; 1 leaves images whole.
        ce_weight: weight of the cross-entropy, before the network's accuracy in percent, >= 0.
        update: `per_class` steps class after class, as the authors do; `joint` makes one step for all.
        net_start: networks in the queue at the beginning, at most `net_num`.
        net_num: most networks in the queue.
        net_generate_interval: iterations between new networks.
        fetch_net_num: networks trained in an iteration.
        model_train_steps: steps of each.
        batch_train: real images of such a step.
        lr_net, momentum_net, weight_decay_net: of their SGD (`--net_decay`).
        acc_window: iterations after which the networks' running accuracies start afresh.
    """

    lr_img: Annotated[float, Field(gt=0.0)] = 0.2
    init: Literal["real", "noise", "mix"] = "mix"  # type: ignore[assignment]
    factor: Annotated[int, Field(ge=1, le=cells.MOST)] = 2
    ce_weight: Annotated[float, Field(ge=0.0)] = 0.5
    update: Literal["per_class", "joint"] = "per_class"
    net_start: Annotated[int, Field(ge=1)] = 3
    net_num: Annotated[int, Field(ge=1)] = 100
    net_generate_interval: Annotated[int, Field(ge=1)] = 30
    fetch_net_num: Annotated[int, Field(ge=0)] = 2
    model_train_steps: Annotated[int, Field(ge=0)] = 10
    batch_train: Annotated[int, Field(ge=1)] = 256
    lr_net: Annotated[float, Field(gt=0.0)] = 0.01
    momentum_net: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    weight_decay_net: Annotated[float, Field(ge=0.0)] = 5e-4
    acc_window: Annotated[int, Field(ge=1)] = 100

    @model_validator(mode="after")
    def _queue_holds_its_first_networks(self) -> Self:
        if self.net_start > self.net_num:
            raise ValueError(
                f"net_start must be at most net_num, which is {self.net_num}, got {self.net_start}"
            )
        return self


def training(values: IDMHyperparameters, context: Context) -> float:
    """GFLOP of training the queue in one iteration."""
    images = values.fetch_net_num * values.model_train_steps * values.batch_train
    return TRAINING * images * forward(values.net, context)


class IDMMethod(DMMethod):
    """Improved distribution matching."""

    name = "idm"
    title = "Improved distribution matching"
    reference = (
        "Zhao et al.: Improved Distribution Matching for Dataset Condensation, CVPR 2023, arXiv 2307.09742"
    )
    real_side = frozenset({"net", "batch_real", "augmentation"}) | QUEUE
    spaces = spaces
    model: type[DMHyperparameters] = IDMHyperparameters

    def check(self, context: Context, values: Mapping[str, Any]) -> None:
        """Refuse a factor that leaves parts without pixels."""
        check_factor(values["factor"], context.size)

    def gigaflops(self, context: Context, values: Mapping[str, Any]) -> float:
        """The real batches forward, the parts of the synthetic images forward and back, and the queue's training.

        Real batches count as DM's do.
        """
        chosen = IDMHyperparameters.model_validate(dict(values))
        synthetic = 2 * context.ipc * chosen.factor**2
        matching = context.classes * (chosen.batch_real + synthetic) * forward(chosen.net, context)
        return matching + training(chosen, context)

    def training_images(self, context: Context, values: Mapping[str, Any]) -> int:
        """All parts of all images."""
        return context.classes * context.ipc * int(values["factor"]) ** 2

    def distiller(
        self,
        hyperparameters: BaseModel,
        context: Context,
        data: DataSplits,
        assets: AssetStore,
        seed: int,
        device: torch.device,
    ) -> Distiller:
        """A distiller at iteration 0; the queue is part of it, not an asset."""
        from raydd.distillation import IDM as Distillation

        assert isinstance(hyperparameters, IDMHyperparameters)
        return Distillation(hyperparameters, context, data, seed, device, assets.bank)


IDM = IDMMethod()
