"""IDC's network update between matching steps: the authors' plain loop against raydd's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.case import REFERENCE, Case, Settings, Side, Work
from benchmarks.variants import Variant, sides

if TYPE_CHECKING:
    from torch import Tensor, nn

FULL = {
    "classes": 10,
    "size": 32,
    "per_class": 1000,
    "batch_real": 64,
    "width": 128,
    "n_data": 2000,
    "batch_train": 64,
    "cutmix": 0.5,
}
QUICK = {**FULL, "per_class": 100, "n_data": 120}
SHOWN = 10  # images of each class whose loss is compared

# Relative. In training rounding grows with every step.
RTOL = {"fp32": 1e-3, "mixed": 2e-2}


def _losses(net: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Mean loss of the trained network on some real images."""
    import torch
    import torch.nn.functional as F

    with torch.no_grad():
        return {"loss": F.cross_entropy(net(images), labels).item()}


class LoopWork(Work):
    """The authors' training of one network."""

    def __init__(self, settings: Settings) -> None:
        import torch

        from benchmarks import ours
        from benchmarks.reference.nets import ConvNet, copy_weights

        self.settings = settings
        self.data = ours.splits(settings)
        pixels, self.labels = ours.arrays(self.data.train)
        self.images = pixels.float() / 255.0
        self.shown = ours.initial(self.data, SHOWN)
        self.augment = ours.augmentation(ours.TRAINING_AUGMENTATION)
        self.net = ConvNet(self.data.channels, self.data.size, self.data.classes, settings["width"])
        given = ours.matching_network(f"convnet-w{settings['width']}", self.data, 0)
        copy_weights(given.parameters(), self.net)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.01, momentum=0.9, weight_decay=0.0005)
        self.update = 0

    def run(self) -> None:
        """One update."""
        import torch

        from benchmarks import ours
        from benchmarks.reference.net_update import train_epoch

        update = self.update

        def augment(batch: int, images: Tensor) -> Tensor:
            return self.augment(images, ours.update_draw(self.augment, update, batch, len(images)))

        constants = self.data.normalisation
        train_epoch(
            self.net,
            self.optimizer,
            self.images,
            self.labels,
            torch.randperm(len(self.images), generator=ours.update_order(update)),
            augment,
            partial(ours.update_mix, update),
            n_data=self.settings["n_data"],
            batch=self.settings["batch_train"],
            cutmix=self.settings["cutmix"],
            mean=constants.mean,
            std=constants.std,
        )
        self.update += 1

    def values(self) -> dict[str, float]:
        """See `_losses`."""
        return _losses(self.net, *self.shown)


class UpdateWork(Work):
    """Our training of the same network."""

    def __init__(self, variant: Variant, settings: Settings, threads: int | None = None) -> None:
        from benchmarks import ours

        ours.prepare(threads)
        data = ours.splits(settings)
        self.shown = ours.initial(data, SHOWN)
        self.side = ours.net_trainer(settings, data, variant)

    def run(self) -> None:
        """One update."""
        from benchmarks import ours

        ours.update_net(self.side)

    def values(self) -> dict[str, float]:
        """See `_losses`."""
        assert self.side.net is not None
        return _losses(self.side.net.net, *self.shown)


def flops(settings: Settings) -> dict[str, float]:
    """FLOPs of one update."""
    import torch

    from benchmarks import flops as counting
    from benchmarks import ours
    from benchmarks.reference.nets import ConvNet

    data = ours.splits(settings)
    with torch.device("meta"):
        net = ConvNet(data.channels, data.size, data.classes, settings["width"])
    batch = settings["batch_train"]
    batches = min(-(-settings["n_data"] // batch), len(data.train) // batch)
    return {"training": float(batches * counting.training(net, batch, data.channels, data.size))}


CASES = (
    Case(
        name="idc-net-update",
        module=__name__,
        title="training IDC's matching network between two matching steps, with CutMix",
        unit="update",
        sides=(
            Side(REFERENCE, LoopWork),
            *sides(UpdateWork, RTOL),
        ),
        full=FULL,
        quick=QUICK,
        flops=flops,
        warmups=1,
    ),
)
