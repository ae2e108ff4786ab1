"""SRe2L's recovery iteration, and DWA's weight adjustment before it: the authors' loops against raydd's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.case import REFERENCE, Case, Settings, Side, Work
from benchmarks.variants import Variant, sides

if TYPE_CHECKING:
    from torch import Tensor, nn

ITERATIONS = 1000
FULL = {
    "classes": 100,
    "size": 32,
    "per_class": 4,
    "ipc": 1,
    "width": 64,
    "lr": 0.25,
    "lambda_mean": 0.01,
    "lambda_var": 0.11,
    "rho": 0.015,
    "k": 12,
}
QUICK = {**FULL, "classes": 10, "width": 16, "k": 2}
JITTER = 4

# Relative. Adam turns a pixel's gradient into a step of full size however small it is, and so rounding into steps.
RTOL = {"fp32": 2e-3, "bf16": 5e-2}
ADJUST_RTOL = {"fp32": 1e-3, "bf16": 5e-2}


class RecoverLoop(Work):
    """The authors' iteration."""

    def __init__(self, settings: Settings) -> None:
        from benchmarks import ours
        from benchmarks.reference.recovery import Recovery

        data = ours.splits(settings)
        images, labels = ours.initial(data, 1)
        constants = data.normalisation
        self.loop = Recovery(
            _reference(settings),
            images,
            labels,
            lr=settings["lr"],
            iterations=ITERATIONS,
            weight=settings["lambda_mean"],
            variance_share=settings["lambda_var"] / settings["lambda_mean"],
            first=10.0,
            mean=constants.mean,
            std=constants.std,
            jitter=_roll,
        )

    def run(self) -> None:
        """One iteration."""
        self.found = self.loop.step()

    def values(self) -> dict[str, float]:
        """Losses before the last step."""
        return dict(zip(("total", "ce"), self.found))


class RecoverWork(Work):
    """Our iteration."""

    def __init__(self, variant: Variant, settings: Settings) -> None:
        from benchmarks import ours

        ours.prepare()
        self.distiller = ours.recovery(settings, ours.splits(settings), variant, ITERATIONS)

    def run(self) -> None:
        """One iteration."""
        self.losses = self.distiller.step()

    def values(self) -> dict[str, float]:
        """Losses before the last step."""
        return {name: self.losses[name] for name in ("total", "ce")}


class AdjustLoop(Work):
    """The authors' adjustment, from the weights as they were trained."""

    def __init__(self, settings: Settings) -> None:
        import copy

        from benchmarks import ours

        self.settings = settings
        self.images, self.labels = ours.initial(ours.splits(settings), 1)
        self.trained = _reference(settings)
        self.net = copy.deepcopy(self.trained)

    def prepare(self) -> None:
        """Take the trained weights."""
        self.net.load_state_dict(self.trained.state_dict())

    def run(self) -> None:
        """All steps."""
        from benchmarks.reference.recovery import adjust

        adjust(self.net, self.images, self.labels, self.settings["rho"], self.settings["k"])

    def values(self) -> dict[str, float]:
        """See `_moved`."""
        return _moved(self.net, self.trained, self.images, self.labels)


class AdjustWork(Work):
    """Our adjustment."""

    def __init__(self, variant: Variant, settings: Settings) -> None:
        import copy

        from benchmarks import ours

        ours.prepare()
        data = ours.splits(settings)
        self.settings = settings
        self.images, self.labels = ours.initial(data, 1)
        self.trained = ours.teacher(settings, data).requires_grad_(False)
        self.net = copy.deepcopy(self.trained)
        self.passes = ours.adjusting_passes(variant, len(self.images), data.size)

    def prepare(self) -> None:
        """Take the trained weights."""
        self.net.load_state_dict(self.trained.state_dict())

    def run(self) -> None:
        """All steps."""
        from benchmarks import ours

        ours.adjust(self.net, self.passes, self.images, self.labels, self.settings["rho"], self.settings["k"])

    def values(self) -> dict[str, float]:
        """See `_moved`."""
        return _moved(self.net, self.trained, self.images, self.labels)


def _reference(settings: Settings) -> nn.Module:
    """The teacher of `ours.teacher`, out of torch's own layers."""
    from benchmarks import ours
    from benchmarks.reference.nets import ResNet18, copy_all

    data = ours.splits(settings)
    net = ResNet18(data.channels, data.classes, settings["width"], batch_norm=True)
    copy_all(ours.teacher(settings, data), net)
    return net.eval()


def _roll(iteration: int, images: Tensor) -> Tensor:
    import torch

    from benchmarks import ours

    return torch.roll(images, ours.roll(JITTER, iteration), dims=(2, 3))


def _moved(net: nn.Module, trained: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """How far the weights are from the trained ones, and the images' cross-entropy under them."""
    import torch
    import torch.nn.functional as F

    with torch.no_grad():
        squares = [(one - other).square().sum() for one, other in zip(net.parameters(), trained.parameters())]
        loss = F.cross_entropy(net(images), labels)
    return {"distance": torch.stack(squares).sum().sqrt().item(), "loss": loss.item()}


def _flops(settings: Settings, steps: int, frozen: bool) -> float:
    import torch

    from benchmarks import flops, ours
    from benchmarks.reference.nets import ResNet18

    data = ours.splits(settings)
    with torch.device("meta"):
        net = ResNet18(data.channels, data.classes, settings["width"], batch_norm=True).eval()
    of_step = flops.image_gradient if frozen else flops.training
    return float(steps * of_step(net, data.classes, data.channels, data.size))


def recover_flops(settings: Settings) -> dict[str, float]:
    """FLOPs of one iteration: forward, and the gradient of the images alone."""
    return {"synthetic": _flops(settings, 1, frozen=True)}


def adjust_flops(settings: Settings) -> dict[str, float]:
    """FLOPs of all steps."""
    return {"synthetic": _flops(settings, settings["k"], frozen=False)}


CASES = (
    Case(
        name="recover-step",
        module=__name__,
        title="one recovery iteration of SRe2L and DWA, a batch of one image a class",
        unit="step",
        sides=(Side(REFERENCE, RecoverLoop), *sides(RecoverWork, RTOL)),
        full=FULL,
        quick=QUICK,
        flops=recover_flops,
    ),
    Case(
        name="dwa-adjustment",
        module=__name__,
        title="DWA's adjustment of the weights before a batch is recovered",
        unit="adjustment",
        sides=(Side(REFERENCE, AdjustLoop), *sides(AdjustWork, ADJUST_RTOL)),
        full=FULL,
        quick=QUICK,
        flops=adjust_flops,
        warmups=1,
    ),
)
