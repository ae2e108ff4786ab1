"""Evaluation: networks trained on a distilled set, and a network tested, against the authors' loaders."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.case import REFERENCE, Case, Settings, Side, Work
from benchmarks.variants import VARIANTS, Variant, sides

if TYPE_CHECKING:
    from torch import Tensor, nn

    from raydd.nets import Network

# Relative. In training rounding grows with every step; in testing it moves single images over a boundary.
TRAINING_RTOL = {"fp32": 1e-3, "mixed": 1e-2}
TESTING_RTOL = {"fp32": 1e-2, "mixed": 3e-2}

TRAINING = {"classes": 10, "size": 32, "per_class": 20, "ipc": 10, "width": 128, "nets": 5, "epochs": 4}
QUICK_TRAINING = {**TRAINING, "nets": 2, "epochs": 2}
TESTING = {"classes": 10, "size": 32, "per_class": 20, "test_per_class": 1000, "ipc": 10, "width": 128}
QUICK_TESTING = {**TESTING, "test_per_class": 100}
SHORT_TRAINING = 8  # epochs of the network that is tested


class _Evaluation(Work):
    def __init__(self, settings: Settings) -> None:
        from benchmarks import ours

        self.settings = settings
        self.spec = f"convnet-w{settings['width']}"
        self.data = ours.splits(settings)
        self.images, self.labels = ours.initial(self.data, settings["ipc"])


class _Training(_Evaluation):
    nets: list[nn.Module]

    def values(self) -> dict[str, float]:
        """Mean loss of each network on the images that it was trained on."""
        import torch
        import torch.nn.functional as F

        with torch.no_grad():
            losses = [F.cross_entropy(net(self.images), self.labels).item() for net in self.nets]
        return {f"loss {i}": loss for i, loss in enumerate(losses)}


class _Testing(_Evaluation):
    found: float

    def values(self) -> dict[str, float]:
        """Accuracy on the test images."""
        return {"accuracy": self.found}


class TrainingLoop(_Training):
    """The authors' training of one network after the other."""

    def __init__(self, settings: Settings) -> None:
        from benchmarks import ours

        super().__init__(settings)
        self.augment = ours.augmentation(ours.AUGMENTATION)
        count = range(settings["nets"])
        self.weights = [list(ours.evaluated_network(self.spec, self.data, i).parameters()) for i in count]

    def run(self) -> None:
        """Train all networks."""
        from benchmarks import ours
        from benchmarks.reference import evaluation
        from benchmarks.reference.nets import ConvNet, copy_weights

        self.nets = []
        for i, weights in enumerate(self.weights):
            net = ConvNet(self.data.channels, self.data.size, self.data.classes, self.settings["width"])
            copy_weights(weights, net)

            def augment(epoch: int, batch: int, images: Tensor, i: int = i) -> Tensor:
                return self.augment(images, ours.batch_draw(self.augment, i, epoch, batch, len(images)))

            orders = partial(ours.epoch_order, i, len(self.images))
            evaluation.train(net, self.images, self.labels, self.settings["epochs"], orders, augment)
            self.nets.append(net)


class TrainingWork(_Training):
    """Our training of the same networks."""

    def __init__(self, variant: Variant, settings: Settings) -> None:
        from benchmarks import ours

        ours.prepare()
        super().__init__(settings)
        self.variant = variant

    def run(self) -> None:
        """Train all networks."""
        from benchmarks import ours

        self.nets = []
        for i in range(self.settings["nets"]):
            net = ours.evaluated_network(self.spec, self.data, i)
            ours.train(net, self.images, self.labels, self.settings["epochs"], i, self.variant)
            self.nets.append(net)


class TestingLoop(_Testing):
    """The authors' test: every picture on its own through a loader, gradients prepared and thrown away."""

    def __init__(self, settings: Settings) -> None:
        from benchmarks import ours
        from benchmarks.reference.evaluation import Pictures
        from benchmarks.reference.nets import ConvNet, copy_weights

        super().__init__(settings)
        self.net = ConvNet(self.data.channels, self.data.size, self.data.classes, settings["width"])
        copy_weights(_tested(self).parameters(), self.net)
        pixels, labels = ours.arrays(self.data.test)
        pictures = pixels.permute(0, 2, 3, 1).squeeze(3).numpy().copy()
        constants = self.data.normalisation
        self.pictures = Pictures(pictures, labels.tolist(), constants.mean, constants.std)

    def run(self) -> None:
        """Test on all pictures."""
        from benchmarks.reference import evaluation

        self.found = evaluation.score(self.net, self.pictures)[1]


class TestingWork(_Testing):
    """Our test of the same network."""

    def __init__(self, variant: Variant, settings: Settings) -> None:
        from benchmarks import ours

        ours.prepare()
        super().__init__(settings)
        self.variant = variant
        self.net = _tested(self)

    def run(self) -> None:
        """Test on all pictures."""
        from benchmarks import ours

        self.found = ours.accuracy(self.net, self.data, self.variant)


def _tested(work: _Evaluation) -> Network:
    """A network that has learned something, so that its logits lie apart; the same for all sides."""
    from benchmarks import ours

    net = ours.evaluated_network(work.spec, work.data, 0)
    ours.train(net, work.images, work.labels, SHORT_TRAINING, 0, VARIANTS[0])
    return net


def _training_flops(settings: Settings) -> dict[str, float]:
    import torch

    from benchmarks import flops, ours
    from benchmarks.reference.nets import ConvNet

    data = ours.splits(settings)
    with torch.device("meta"):
        net = ConvNet(data.channels, data.size, data.classes, settings["width"])
    passes = settings["nets"] * (settings["epochs"] + 1)
    images = data.classes * settings["ipc"]
    return {"training": float(passes * flops.training(net, images, data.channels, data.size))}


def _testing_flops(settings: Settings) -> dict[str, float]:
    import torch

    from benchmarks import flops, ours
    from benchmarks.reference.nets import ConvNet

    data = ours.splits(settings)
    with torch.device("meta"):
        net = ConvNet(data.channels, data.size, data.classes, settings["width"])
    return {"testing": float(flops.forward(net, len(data.test), data.channels, data.size))}


CASES = (
    Case(
        name="evaluation-training",
        module=__name__,
        title="training networks on a distilled set, with DSA",
        unit="training of all networks",
        sides=(Side(REFERENCE, TrainingLoop), *sides(TrainingWork, TRAINING_RTOL)),
        full=TRAINING,
        quick=QUICK_TRAINING,
        flops=_training_flops,
        warmups=1,
    ),
    Case(
        name="testing-10k",
        module=__name__,
        title="testing one network on all test images",
        unit="test",
        sides=(Side(REFERENCE, TestingLoop), *sides(TestingWork, TESTING_RTOL)),
        full=TESTING,
        quick=QUICK_TESTING,
        flops=_testing_flops,
        warmups=1,
    ),
)
