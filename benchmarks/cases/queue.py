"""One iteration of IDM: the authors' matching and their training of the queue, against raydd's step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.case import REFERENCE, Case, Settings, Side, Work
from benchmarks.variants import VARIANTS, Variant, sides

if TYPE_CHECKING:
    from torch import Tensor

FULL = {
    "lr_img": 0.2,
    "momentum": 0.5,
    "ce_weight": 0.5,
    "classes": 10,
    "size": 32,
    "per_class": 1000,
    "ipc": 10,
    "batch_real": 256,
    "width": 128,
    # The authors begin with 3 networks. With 1, and the one that joins at once, both are trained in every
    # iteration, so that the one that is matched has an accuracy and the cross-entropy acts; no step is cheaper.
    "net_start": 1,
    "fetch_net_num": 2,
    "model_train_steps": 10,
    "batch_train": 256,
}
QUICK = {
    **FULL,
    "classes": 4,
    "per_class": 100,
    "ipc": 2,
    "batch_real": 32,
    "model_train_steps": 2,
    "batch_train": 32,
}
JOINING_EVERY = 30  # iterations
PARTS = 4  # images that a stored one holds

# Relative. Losses come after some training, where rounding grows, and an accuracy is a number of single images.
RTOL = {"fp32": 5e-3, "mixed": 3e-2}


class LoopWork(Work):
    """The authors' iteration; iteration 0 is done before, so that the networks have been trained."""

    def __init__(self, settings: Settings) -> None:
        from benchmarks import ours
        from benchmarks.reference.idm import Numbers, QueueLoop

        self.settings = settings
        self.spec = f"convnet-w{settings['width']}"
        self.data = ours.splits(settings)
        pixels, labels = ours.arrays(self.data.train)
        self.augment = ours.augmentation(self.data.augmentation)
        self.joined = settings["net_start"]
        queue = [self._weights(number) for number in range(self.joined)]
        names = ("ipc", "batch_real", "batch_train", "ce_weight", "width", "lr_img", "momentum")
        self.loop = QueueLoop(
            self.data.normalisation.apply(pixels),
            labels,
            self.data.classes,
            ours.initial_parts(self.data, settings["ipc"], 2, unit=False),
            queue,
            Numbers(**{name: settings[name] for name in names}),
        )
        self.iteration = 0
        self.terms: dict[str, float] = {}
        self.prepare()
        self.run()

    def _weights(self, number: int) -> list[Tensor]:
        from benchmarks import ours

        return list(ours.queue_network(self.spec, self.data, number).parameters())

    def prepare(self) -> None:
        """Draw the iteration's random numbers."""
        from benchmarks import ours
        from benchmarks.reference.idm import Draws

        classes, i = range(self.data.classes), self.iteration
        joining = None
        if i % JOINING_EVERY == 0:
            joining = self._weights(self.joined)
            self.joined += 1
        steps = self.settings["model_train_steps"]
        trained = ours.queue_order(self.joined, i)[: self.settings["fetch_net_num"]]
        draws = [ours.matching_draw(self.augment, i, c) for c in classes]
        self.draws = Draws(
            joining=joining,
            matched=ours.queue_match(self.joined, i),
            orders=[ours.real_order(i, c) for c in classes],
            augments=[partial(self.augment, draw=draw) for draw in draws],
            trained=trained,
            batches=[
                [ours.queue_batch(i, turn * steps + step) for step in range(steps)]
                for turn in range(len(trained))
            ],
        )

    def run(self) -> None:
        """One iteration."""
        self.terms = self.loop.iterate(self.draws)
        self.iteration += 1

    def values(self) -> dict[str, float]:
        """The loss terms."""
        return self.terms


class StepWork(Work):
    """`step` of a distiller, from iteration 1 on.

    It trains the queue where the loop has trained it at the end of the iteration before: as much work a step.
    Iteration 0, which trains nothing, is done before by an uncompiled distiller in fp32, whatever the variant.
    """

    def __init__(self, variant: Variant, settings: Settings, threads: int | None = None) -> None:
        from benchmarks import ours

        ours.prepare(threads)
        data = ours.splits(settings)
        first = ours.distiller_on_queue(settings, data, VARIANTS[0])
        first.step()
        self.distiller = ours.distiller_on_queue(settings, data, variant)
        self.distiller.load_state_dict(first.state_dict())
        self.terms: Mapping[str, float] = {}

    def run(self) -> None:
        """One iteration."""
        self.terms = self.distiller.step()

    def values(self) -> dict[str, float]:
        """The loss terms."""
        return dict(self.terms)


def flops(settings: Settings) -> dict[str, float]:
    """FLOPs of one iteration.

    `unused`: the loop's second forward pass for the logits, and the gradients of the matched network's
    weights, which it does not freeze.
    """
    import torch

    from benchmarks import flops as counting
    from benchmarks import ours
    from benchmarks.reference.nets import ConvNet

    data = ours.splits(settings)
    shape, classes = (data.channels, data.size), data.classes
    real = sum(min(settings["batch_real"], data.train.count(c)) for c in range(classes))
    synthetic = classes * PARTS * settings["ipc"]
    batch = min(settings["batch_train"], len(data.train))
    steps = settings["fetch_net_num"] * settings["model_train_steps"]
    with torch.device("meta"):
        net = ConvNet(data.channels, data.size, classes, settings["width"])
        images = torch.empty(synthetic, *shape[:1], shape[1], shape[1], requires_grad=True)
    needed = {
        "real": counting.embedding(net, real, *shape),
        "synthetic": counting.count(lambda: net(images).sum().backward()),
        "training": steps * counting.training(net, batch, *shape),
    }
    net.requires_grad_(True)

    def loop() -> None:
        (net.embed(images).sum() + net(images).sum()).backward()

    unused = counting.count(loop) - needed["synthetic"]
    return {part: float(amount) for part, amount in {**needed, "unused": unused}.items()}


CASES = (
    Case(
        name="idm-step",
        module=__name__,
        title="one iteration of IDM, the training of its networks included",
        unit="step",
        sides=(
            Side(REFERENCE, LoopWork),
            *sides(StepWork, RTOL, frozenset({"unused"})),
        ),
        full=FULL,
        quick=QUICK,
        flops=flops,
        warmups=1,
    ),
)
