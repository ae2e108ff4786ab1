"""One iteration of DM, and of IID on it: the authors' loop over the classes against raydd's step."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from benchmarks.case import REFERENCE, Case, Settings, Side, Work
from benchmarks.variants import VARIANTS, Variant

NUMBERS = {"lr_img": 1.0, "momentum": 0.5, "lambda_cc": 0.05, "lambda_cm": 0.01}  # main_DM_IID.py
FULL = {
    **NUMBERS,
    "classes": 10,
    "size": 32,
    "per_class": 1000,
    "ipc": 10,
    "batch_real": 256,
    "width": 128,
    "extractor_width": 64,
    "pool_size": 2,
}
QUICK = {**FULL, "per_class": 100, "ipc": 2, "batch_real": 32}


class LoopWork(Work):
    """The authors' iteration."""

    def __init__(self, method: str, settings: Settings) -> None:
        import torch

        from benchmarks import ours
        from benchmarks.reference.iid_dm import MatchingLoop, Numbers
        from benchmarks.reference.nets import ResNet18, copy_weights

        self.settings = settings
        self.data = ours.splits(settings)
        pixels, labels = ours.arrays(self.data.train)
        self.augment = ours.augmentation(self.data.augmentation)
        self.folder = tempfile.TemporaryDirectory()
        self.files = []
        if method == "iid":
            for i, given in enumerate(ours.extractors(settings, self.data)):
                net = ResNet18(self.data.channels, self.data.classes, settings["extractor_width"])
                copy_weights(given.parameters(), net)
                self.files.append(Path(self.folder.name) / f"{i}.pt")
                torch.save(net.state_dict(), self.files[-1])
        names = ["ipc", "batch_real", "width", "extractor_width", "lr_img", "momentum"]
        names += ["lambda_cc", "lambda_cm"] if method == "iid" else []
        self.loop = MatchingLoop(
            self.data.normalisation.apply(pixels),
            labels,
            self.data.classes,
            ours.initial(self.data, settings["ipc"])[0],
            Numbers(**{name: settings[name] for name in names}),
        )
        self.iteration = 0
        self.terms: dict[str, float] = {}

    def prepare(self) -> None:
        """Draw the iteration's random numbers."""
        from benchmarks import ours
        from benchmarks.reference.iid_dm import Draws

        classes, i = range(self.data.classes), self.iteration
        net = ours.matching_network(f"convnet-w{self.settings['width']}", self.data, i)
        draws = [ours.matching_draw(self.augment, i, c) for c in classes]
        self.draws = Draws(
            weights=list(net.parameters()),
            orders=[ours.real_order(i, c) for c in classes],
            augments=[partial(self.augment, draw=draw) for draw in draws],
            extractor=self.files[ours.extractor_number(len(self.files), i)] if self.files else None,
        )

    def run(self) -> None:
        """One iteration."""
        self.terms = self.loop.iterate(self.draws)
        self.iteration += 1

    def values(self) -> dict[str, float]:
        """The loss terms."""
        return self.terms


class StepWork(Work):
    """`step` of a distiller.

    Args:
        method: `dm` or `iid`.
        variant: how networks are computed.
        banked: read the real side from a target bank that was filled before.
        threads: None is all the CPUs of the process.
        settings: see `FULL`; `steps` of them make one run.
    """

    def __init__(
        self, method: str, variant: Variant, banked: bool, threads: int | None, settings: Settings
    ) -> None:
        from benchmarks import ours

        ours.prepare(threads)
        self.units = settings.get("steps", 1)
        data = ours.splits(settings)
        pool = ours.extractors(settings, data) if method == "iid" else []
        self.folder = tempfile.TemporaryDirectory()
        bank = Path(self.folder.name) if banked else None
        made = partial(ours.distiller, method, settings, data, pool, variant, bank)
        self.stored = ours.fill_bank(made()) if banked else None
        self.distiller = made()
        self.terms: Mapping[str, float] = {}

    def prepare(self) -> None:
        """Stay within the iterations that the bank has."""
        if self.stored is not None and self.distiller.iteration + self.units > self.stored:
            self.distiller.iteration = 0

    def run(self) -> None:
        """The steps."""
        for _ in range(self.units):
            self.terms = self.distiller.step()

    def values(self) -> dict[str, float]:
        """The loss terms of the last step."""
        return dict(self.terms)


def flops(method: str, settings: Settings) -> dict[str, float]:
    """FLOPs of one iteration: real features, and synthetic features with the gradient on the images."""
    import torch

    from benchmarks import flops as counting
    from benchmarks import ours
    from benchmarks.reference.iid_dm import covariance
    from benchmarks.reference.nets import ConvNet, ResNet18

    data = ours.splits(settings)
    channels, size, classes, ipc = data.channels, data.size, data.classes, settings["ipc"]
    shape = (channels, size)
    batch_real = [min(settings["batch_real"], data.train.count(c)) for c in range(classes)]
    with torch.device("meta"):
        net = ConvNet(channels, size, classes, settings["width"])
        extractor = ResNet18(channels, classes, settings["extractor_width"])
    real = float(counting.embedding(net, sum(batch_real), *shape))
    synthetic = float(counting.image_gradient(net, classes * ipc, *shape))
    if method == "iid":
        synthetic += counting.image_gradient(extractor, classes * ipc, *shape)
        side = size // 8
        for count in batch_real:
            maps = torch.empty(count, settings["width"], side, side, device="meta")
            real += counting.count(partial(covariance, maps))
        leaf = torch.empty(ipc, settings["width"], side, side, device="meta", requires_grad=True)
        synthetic += classes * counting.count(lambda: covariance(leaf).sum().backward())
    return {"real": real, "synthetic": synthetic}


def sides(method: str) -> tuple[Side, ...]:
    """The loop, and our step in every variant."""
    ours = [
        Side(
            variant.name,
            partial(StepWork, method, variant, False, None),
            precision=variant.precision,
            rtol=variant.rtol,
            quick=variant.quick,
        )
        for variant in VARIANTS
    ]
    return (Side(REFERENCE, partial(LoopWork, method)), *ours)


def banked(method: str, variant: Variant) -> Side:
    """Our step where the real side is read from a bank, as it is in all trials of a study but the first."""
    return Side(
        f"{variant.name}, bank read",
        partial(StepWork, method, variant, True, None),
        precision=variant.precision,
        skips=frozenset({"real"}),
        rtol=variant.rtol,
    )


CASES = (
    Case(
        name="iid-step",
        module=__name__,
        title="one iteration of IID on DM",
        unit="step",
        sides=(*sides("iid"), banked("iid", VARIANTS[0])),
        full=FULL,
        quick=QUICK,
        flops=partial(flops, "iid"),
    ),
    Case(
        name="dm-step",
        module=__name__,
        title="one iteration of DM",
        unit="step",
        sides=sides("dm"),
        full=FULL,
        quick=QUICK,
        flops=partial(flops, "dm"),
    ),
)
