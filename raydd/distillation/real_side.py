"""The real side of a matching step: networks, real batches, augmentation draws and their statistics.

It depends on the seed and the iteration and on nothing that is searched, so all trials of a study share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from raydd import nets
from raydd.augment import DSA, Draw
from raydd.distillation.losses import local_covariance
from raydd.nets import Network
from raydd.seeding import generator

if TYPE_CHECKING:
    from raydd.data import DataSplits

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
        draws, means, covariances = [], [], []
        for class_ in range(self.data.classes):
            draw = self.augment.draw(generator(self.seed, "augmentation", iteration, class_))
            embedding, local = self._features(net, self._batch(iteration, class_, draw))
            draws.append(draw)
            means.append(embedding.mean(dim=0))
            if local is not None:
                covariances.append(local_covariance(local))
        return Targets(net, draws, torch.stack(means), torch.stack(covariances) if covariances else None)

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
