"""Training students on images that a teacher labels batch by batch: the authors' loop against raydd's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.case import REFERENCE, Case, Settings, Side, Work
from benchmarks.variants import Variant, sides

if TYPE_CHECKING:
    from torch import Tensor, nn

    from benchmarks.ours import Splits

FULL = {"classes": 10, "size": 32, "per_class": 20, "ipc": 10, "width": 64, "epochs": 4}
QUICK = {**FULL, "ipc": 2, "width": 8, "epochs": 2}

# Relative. AdamW's first steps have one size however small the gradient is, and so rounding becomes steps.
RTOL = {"fp32": 2e-2, "mixed": 1e-1}


class _Student(Work):
    net: nn.Module

    def __init__(self, settings: Settings) -> None:
        from benchmarks import ours

        self.settings = settings
        self.data: Splits = ours.splits(settings)
        self.images, self.labels = ours.initial(self.data, settings["ipc"])
        self.given = ours.student(settings, self.data)

    def values(self) -> dict[str, float]:
        """The student's mean logit of the images' own classes, in eval mode."""
        import torch

        self.net.eval()
        with torch.no_grad():
            logits = self.net(self.images)
        return {"logit": logits.gather(1, self.labels[:, None]).exp().mean().item()}


class LoopWork(_Student):
    """The authors' training of one student."""

    def __init__(self, settings: Settings) -> None:
        from benchmarks import ours

        super().__init__(settings)
        self.augment = ours.augmentation(ours.STUDENT_AUGMENTATION)
        self.teacher = _resnet(settings, self.data, ours.teacher(settings, self.data))

    def run(self) -> None:
        """Train a student."""
        from benchmarks import ours
        from benchmarks.reference import soft_labels

        self.net = _resnet(self.settings, self.data, self.given)

        def augment(epoch: int, batch: int, images: Tensor) -> Tensor:
            return self.augment(images, ours.batch_draw(self.augment, 0, epoch, batch, len(images)))

        soft_labels.train(
            self.net,
            self.teacher,
            self.images,
            self.labels,
            self.settings["epochs"],
            partial(ours.epoch_order, 0, len(self.images)),
            augment,
            ours.student_mix,
        )


class StudentWork(_Student):
    """Our training of the same student."""

    def __init__(self, variant: Variant, settings: Settings) -> None:
        from benchmarks import ours

        ours.prepare()
        super().__init__(settings)
        self.variant = variant
        self.teacher = ours.teacher(settings, self.data)

    def run(self) -> None:
        """Train a student."""
        import copy

        from benchmarks import ours

        self.net = copy.deepcopy(self.given)
        ours.train_student(
            self.net, self.teacher, self.images, self.labels, self.settings["epochs"], self.variant
        )


def _resnet(settings: Settings, data: Splits, given: nn.Module) -> nn.Module:
    from benchmarks.reference.nets import ResNet18, copy_all

    net = ResNet18(data.channels, data.classes, settings["width"], batch_norm=True)
    copy_all(given, net)
    return net


def flops(settings: Settings) -> dict[str, float]:
    """FLOPs of a student's training: its own, and the teacher's forward passes."""
    import torch

    from benchmarks import flops as counting
    from benchmarks import ours
    from benchmarks.reference.nets import ResNet18

    data = ours.splits(settings)
    with torch.device("meta"):
        net = ResNet18(data.channels, data.classes, settings["width"], batch_norm=True)
    shape = (data.classes * settings["ipc"], data.channels, data.size)
    step = counting.training(net, *shape) + counting.forward(net.requires_grad_(False), *shape)
    return {"training": float(settings["epochs"] * step)}


CASES = (
    Case(
        name="soft-label-training",
        module=__name__,
        title="training a ResNet-18 on a distilled set that a ResNet-18 labels batch by batch",
        unit="training",
        sides=(
            Side(REFERENCE, LoopWork),
            *sides(StudentWork, RTOL),
        ),
        full=FULL,
        quick=QUICK,
        flops=flops,
        warmups=1,
    ),
)
