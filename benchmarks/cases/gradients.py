"""One matching step of IDC, and of UDD on it: the authors' loop over the classes against raydd's step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from benchmarks.case import REFERENCE, Case, Settings, Side, Work
from benchmarks.variants import Variant, sides

IDC = {
    "lr_img": 5e-3,
    "momentum": 0.5,
    "classes": 10,
    "size": 32,
    "per_class": 1000,
    "ipc": 10,
    "factor": 2,
    "batch_real": 64,
    "width": 128,
    "n_data": 0,  # `idc-net-update` measures the network's training
}
IDC_1 = {**IDC, "ipc": 1}
UDD_1 = {**IDC_1, "regions": 1, "policy": "response", "lambda_cfc": 1.0, "cfc_tau": 0.1}
SMALL = {"classes": 4, "per_class": 100, "batch_real": 16}
INNER_LOOP = 100  # steps that a network lives for

# Relative. A distance of gradients keeps fewer digits than one of features: two fp32 ways differ by 2e-5.
RTOL = {"fp32": 1e-4, "mixed": 1e-2}


class LoopWork(Work):
    """The authors' matching step."""

    def __init__(self, method: str, settings: Settings) -> None:
        from benchmarks import ours
        from benchmarks.reference.idc import GradientLoop, Numbers
        from benchmarks.reference.udd import MiningLoop

        self.settings = settings
        self.data = ours.splits(settings)
        pixels, labels = ours.arrays(self.data.train)
        self.augment = ours.augmentation(ours.GRADIENT_AUGMENTATION)
        names = ("ipc", "factor", "batch_real", "lr_img", "momentum", "width")
        constants = self.data.normalisation
        numbers = Numbers(**{name: settings[name] for name in names}, mean=constants.mean, std=constants.std)
        initial = ours.initial_parts(self.data, settings["ipc"], settings["factor"], unit=True)
        given = (pixels.float() / 255.0, labels, self.data.classes, initial, numbers)
        if method == "idc":
            self.loop = GradientLoop(*given)
        else:
            boxes = ours.regions(settings, self.data)
            self.loop = MiningLoop(*given, boxes, settings["lambda_cfc"], settings["cfc_tau"])
        self.iteration = 0
        self.terms: dict[str, float] = {}

    def prepare(self) -> None:
        """Draw the step's random numbers."""
        from benchmarks import ours
        from benchmarks.reference.idc import Draws

        classes, i = range(self.data.classes), self.iteration
        weights = None
        if i % INNER_LOOP == 0:
            spec = f"convnet-w{self.settings['width']}"
            weights = list(ours.matching_network(spec, self.data, i // INNER_LOOP).parameters())
        draws = [ours.matching_draw(self.augment, i, c) for c in classes]
        self.draws = Draws(
            weights=weights,
            orders=[ours.real_order(i, c) for c in classes],
            augments=[partial(self.augment, draw=draw) for draw in draws],
        )

    def run(self) -> None:
        """One matching step."""
        self.terms = self.loop.iterate(self.draws)
        self.iteration += 1

    def values(self) -> dict[str, float]:
        """The loss terms."""
        return self.terms


class StepWork(Work):
    """`step` of a distiller.

    Args:
        method: `idc` or `udd`.
        variant: how networks are computed.
        settings: see `IDC`.
        threads: None is all the CPUs of the process.
    """

    def __init__(self, method: str, variant: Variant, settings: Settings, threads: int | None = None) -> None:
        from benchmarks import ours

        ours.prepare(threads)
        data = ours.splits(settings)
        self.distiller = ours.distiller_on_gradients(method, settings, data, variant)
        self.terms: Mapping[str, float] = {}

    def run(self) -> None:
        """One matching step."""
        self.terms = self.distiller.step()

    def values(self) -> dict[str, float]:
        """The loss terms."""
        return dict(self.terms)


def flops(method: str, settings: Settings) -> dict[str, float]:
    """FLOPs of one matching step.

    `real` and `synthetic` are what the distance of the convolutions' gradients and its way back to the images need;
    `unused` is what the loop computes besides: gradients of the last layer, and second ones of all weights.
    """
    import torch

    from benchmarks import flops as counting
    from benchmarks import ours
    from benchmarks.reference.idc import distance, gradients
    from benchmarks.reference.nets import ConvNet

    data = ours.splits(settings)
    views = settings["ipc"] * settings["factor"] ** 2
    if method == "udd":
        views += settings["ipc"] * settings["factor"] ** 2 * settings["regions"]
    with torch.device("meta"):
        net = ConvNet(data.channels, data.size, data.classes, settings["width"])
        shape = (data.channels, data.size, data.size)
        images = torch.empty(views, *shape, requires_grad=True)
        batches = [
            torch.empty(min(settings["batch_real"], data.train.count(c)), *shape) for c in range(data.classes)
        ]
        constant = [torch.empty_like(weight) for weight in net.parameters()]

    def total(loss: torch.Tensor, feature: torch.Tensor) -> torch.Tensor:
        return loss + feature.sum() if method == "udd" else loss

    def all_weights() -> None:
        found, feature = gradients(net, images, 0, create_graph=True)
        total(distance(constant, found), feature).backward()

    everything = sum(counting.count(partial(gradients, net, batch, 0)) for batch in batches)
    everything += data.classes * counting.count(all_weights)

    # Weights that no gradient is asked for are frozen, as they are where only what is needed is computed.
    for weight in net.parameters():
        weight.requires_grad_(weight.ndim == 4)
    needed = [weight for weight in net.parameters() if weight.ndim == 4]
    targets = [torch.empty_like(weight) for weight in needed]

    def of_convolutions(batch: torch.Tensor, create_graph: bool) -> tuple[list[torch.Tensor], torch.Tensor]:
        feature = net.embed(batch)
        labels = torch.zeros(len(batch), dtype=torch.long, device="meta")
        loss = torch.nn.functional.cross_entropy(net.classifier(feature), labels)
        return list(torch.autograd.grad(loss, needed, create_graph=create_graph)), feature

    def to_images() -> None:
        found, feature = of_convolutions(images, True)
        torch.autograd.grad(total(distance(targets, found), feature), images)

    real = sum(counting.count(partial(of_convolutions, batch, False)) for batch in batches)
    synthetic = data.classes * counting.count(to_images)
    return {
        "real": float(real),
        "synthetic": float(synthetic),
        "unused": float(everything - real - synthetic),
    }


def both_sides(method: str) -> tuple[Side, ...]:
    """The loop, and our step in the variants of a study."""
    ours = sides(partial(StepWork, method), RTOL, frozenset({"unused"}))
    return (Side(REFERENCE, partial(LoopWork, method)), *ours)


CASES = (
    Case(
        name="idc-step-ipc10",
        module=__name__,
        title="one matching step of IDC at 10 images a class, without the network's training",
        unit="step",
        sides=both_sides("idc"),
        full=IDC,
        quick={**IDC, **SMALL, "ipc": 2},
        flops=partial(flops, "idc"),
        warmups=1,
    ),
    Case(
        name="idc-step-ipc1",
        module=__name__,
        title="one matching step of IDC at 1 image a class, without the network's training",
        unit="step",
        sides=both_sides("idc"),
        full=IDC_1,
        quick={**IDC_1, **SMALL},
        flops=partial(flops, "idc"),
        warmups=1,
    ),
    Case(
        name="udd-step-ipc1",
        module=__name__,
        title="one matching step of UDD on IDC at 1 image a class, without the network's training and the choice of "
        "regions; the reference is IDC's loop with the same regions and the contrastive term",
        unit="step",
        sides=both_sides("udd"),
        full=UDD_1,
        quick={**UDD_1, **SMALL},
        flops=partial(flops, "udd"),
        warmups=1,
    ),
)
