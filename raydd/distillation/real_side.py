"""The real side of a matching step: networks, real batches, augmentation draws and their statistics.

It depends on the seed and the iteration and on nothing that is searched, so all trials of a study share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from raydd import devices, nets
from raydd.augment import DSA, Draw
from raydd.distillation.losses import local_covariance
from raydd.nets import Network
from raydd.seeding import generator
from raydd.storage import TargetBank

if TYPE_CHECKING:
    from raydd.data import DataSplits

VERSION = 1
"""Raise it when the same facts give other statistics: banks of the old version are then not read."""

MICROBATCH_PIXELS = 32 * 32 * 32
"""Pixels of a forward on the CPU: 32 images at 32 px keep the widest map in the cache (twice as fast as 256)."""


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


def embed_with_map(net: Network, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Embedding (N, D) and local features (N, K, positions) of images, from one forward."""
    local = net.local_features(images)
    # A ConvNet's embedding is its map, flattened; a ResNet's is its map, averaged over the positions.
    embedding = local.flatten(1) if local[0].numel() == net.feature_size else local.mean(dim=2)
    return embedding, local


class RealSide:
    """Targets of every iteration of a study, each a pure function of (seed, iteration).

    Args:
        data: only `data.train` is read.
        net_spec: matching network; a new one is drawn in every iteration and never trained.
        batch_real: real images per class and iteration, at most all of the class, without replacement.
        augmentation: DSA strategy; one draw per class and iteration, shared by the class's images.
        covariances: whether local covariances are computed as well.
        seed: of the study or run.
        device: where to compute.
        microbatch: images per forward; None is what suits the device. The networks' normalisation is per
            image, so it changes rounding at most.
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
        device: torch.device,
        microbatch: int | None = None,
        bank: Path | None = None,
    ) -> None:
        self.data = data
        self.net_spec = net_spec
        self.batch_real = batch_real
        self.augment = DSA(augmentation)
        self.covariances = covariances
        self.seed = seed
        self.device = device
        if microbatch is None:
            microbatch = max(8, MICROBATCH_PIXELS // data.size**2) if device.type == "cpu" else batch_real
        self.microbatch = microbatch
        self.bank = None if bank is None else TargetBank(bank, self.facts(), device)

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
            "microbatch": self.microbatch,
            "precision": "fp32",
            "path": "eager",
            **devices.facts(self.device),
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
        net = net.to(self.device).requires_grad_(False)
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
        pixels = self.data.train.sample(class_, self.batch_real, stream).to(self.device)
        return self.augment(self.data.normalisation.apply(pixels), draw)

    def _features(self, net: Network, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        parts = images.split(self.microbatch)
        if not self.covariances:
            return torch.cat([net.embed(part) for part in parts]), None
        embeddings, maps = zip(*(embed_with_map(net, part) for part in parts))
        return torch.cat(embeddings), torch.cat(maps)
