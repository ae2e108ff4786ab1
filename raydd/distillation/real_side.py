"""The real side of a matching step: networks, real batches, augmentation draws and their statistics.

It depends on the seed and the iteration and on nothing that is searched, so all trials of a study share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from raydd import nets
from raydd.augment import DSA, Draw
from raydd.devices import Compute
from raydd.distillation.losses import local_covariance
from raydd.nets import Network, Passes
from raydd.seeding import generator
from raydd.storage import TargetBank

if TYPE_CHECKING:
    from raydd.data import DataSplits

VERSION = 2
"""Raise it when the same facts give other statistics: banks of the old version are then not read."""


@dataclass(frozen=True)
class Targets:
    """What the synthetic side of one iteration is matched with; nothing in it carries a graph.

    Attributes:
        net: the matching network, frozen.
        draws: augmentation draw of each class, to be applied to its synthetic images too.
        means: mean embedding of each class's real batch, shape (classes, D).
        covariances: local covariance of each class's real batch, shape (classes, K, K), or None.
    """

    net: Network
    draws: list[Draw]
    means: torch.Tensor
    covariances: torch.Tensor | None


class RealSide:
    """Targets of every iteration of a study, each a pure function of (seed, iteration).

    Args:
        data: only `data.train` is read.
        net_spec: matching network; a new one is drawn in every iteration and never trained.
        batch_real: real images per class and iteration, at most all of the class, without replacement.
        augmentation: DSA strategy; one draw per class and iteration, shared by the class's images.
        covariances: whether local covariances are computed as well.
        seed: of the study or run.
        compute: where and how; `mixed` computes the features in bfloat16, as no image gradient flows here.
        bank: folder where statistics are kept for other trials; None computes them every time.
    """

    def __init__(
        self,
        data: DataSplits,
        net_spec: str,
        batch_real: int,
        augmentation: str,
        covariances: bool,
        seed: int,
        compute: Compute,
        bank: Path | None = None,
    ) -> None:
        self.data = data
        self.net_spec = net_spec
        self.batch_real = batch_real
        self.augment = DSA(augmentation)
        self.covariances = covariances
        self.seed = seed
        self.compute = compute
        self.passes = Passes(compute, image_gradient=False, batch=batch_real, size=data.size)
        self.bank = None if bank is None else TargetBank(bank, self.facts(), compute.device)

    def facts(self) -> dict[str, Any]:
        """Everything that the statistics depend on; JSON-able."""
        return {
            "version": VERSION,
            "fingerprint": self.data.fingerprint,
            "train_fingerprint": self.data.train.fingerprint,
            "split": self.data.split,
            "size": self.data.size,
            "normalisation": [list(self.data.normalisation.mean), list(self.data.normalisation.std)],
            "base": "dm",
            "net": self.net_spec,
            "batch_real": self.batch_real,
            "augmentation": self.augment.strategy,
            "seed": self.seed,
            "statistics": ["means", "covariances"] if self.covariances else ["means"],
            "part": self.passes.part,
            **self.compute.facts(),
        }

    @torch.no_grad()
    def at(self, iteration: int) -> Targets:
        """Targets of `iteration` (>= 0)."""
        net = nets.build(
            self.net_spec,
            channels=self.data.channels,
            size=self.data.size,
            classes=self.data.classes,
            generator=generator(self.seed, "matching_net", iteration),
        )
        net = self.passes.place(net).requires_grad_(False)
        draws = [
            self.augment.draw(generator(self.seed, "augmentation", iteration, class_))
            for class_ in range(self.data.classes)
        ]

        def compute() -> Mapping[str, torch.Tensor]:
            return self._statistics(net, iteration, draws)

        found = compute() if self.bank is None else self.bank.get(iteration, compute)
        return Targets(net, draws, found["means"], found.get("covariances"))

    def _statistics(self, net: Network, iteration: int, draws: list[Draw]) -> dict[str, torch.Tensor]:
        means, covariances = [], []
        for class_, draw in enumerate(draws):
            embedding, local = self._features(net, self._batch(iteration, class_, draw))
            means.append(embedding.mean(dim=0))
            if local is not None:
                covariances.append(local_covariance(local))
        statistics = {"means": torch.stack(means)}
        if covariances:
            statistics["covariances"] = torch.stack(covariances)
        return statistics

    def _batch(self, iteration: int, class_: int, draw: Draw) -> torch.Tensor:
        stream = generator(self.seed, "real_batch", iteration, class_)
        pixels = self.data.train.sample(class_, self.batch_real, stream).to(self.compute.device)
        return self.augment(self.data.normalisation.apply(pixels), draw)

    def _features(self, net: Network, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        if not self.covariances:
            return self.passes.embed(net, images), None
        return self.passes.embed_with_map(net, images)
