"""The real side of a matching step: networks, real batches, augmentation draws and their statistics.

It depends on the seed and the iteration and on nothing that is searched, so all trials of a study share it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from raydd import nets
from raydd.augment import Draw
from raydd.augment import build as build_augmentation
from raydd.devices import Compute
from raydd.distillation.losses import local_covariance
from raydd.nets import Network, Passes
from raydd.seeding import generator
from raydd.storage import TargetBank

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.registry import Scalar


@dataclass(frozen=True)
class Targets:
    """What the synthetic side of one iteration is matched with; nothing in it carries a graph.

    Attributes:
        net: the matching network, frozen.
        draws: augmentation draw of each class, to be applied to its synthetic images too.
        means: mean embedding of each class's real batch, shape (classes, D).
        covariances: local covariance of each class's real batch, shape (classes, K, K), or None.
        accuracy: top-1 accuracy of `net` in percent while it was trained, 0 for a net never trained.
        gradients: gradients of the cross-entropy of each class's real batch, one tensor (classes, out, in,
            h, w) for each convolution of `net`; empty where features are matched.
    """

    net: Network
    draws: list[Draw]
    means: Tensor
    covariances: Tensor | None = None
    accuracy: float = 0.0
    gradients: tuple[Tensor, ...] = ()


class RealSide(ABC):
    """Targets of every iteration of a study, each a pure function of (seed, iteration).

    Args:
        data: only `data.train` is read.
        net_spec: matching network.
        batch_real: real images per class and iteration, at most all of the class, without replacement.
        augmentation: strategy; one draw per class and iteration, shared by the class's images.
        seed: of the study or run.
        compute: where and how; `mixed` computes what carries no image gradient in bfloat16.
        bank: folder where statistics are kept for other trials; None computes them every time.

    Attributes:
        largest_batch: real images of the largest class's batch.
    """

    base: ClassVar[str]
    version: ClassVar[int]
    """Raised when the same facts give other statistics: banks of the old version are then not read."""

    def __init__(
        self,
        data: DataSplits,
        net_spec: str,
        batch_real: int,
        augmentation: str,
        seed: int,
        compute: Compute,
        bank: Path | None = None,
    ) -> None:
        self.data = data
        self.net_spec = net_spec
        self.batch_real = batch_real
        # compiled code fills batches up, so that a class of 450 must not be run as 5,000
        self.largest_batch = min(batch_real, max(data.train.count(class_) for class_ in range(data.classes)))
        self.augment = build_augmentation(augmentation)
        self.seed = seed
        self.compute = compute
        self.passes = Passes(compute, image_gradient=False, batch=self.largest_batch, size=data.size)
        self._bank_folder = bank
        self._bank: TargetBank | None = None

    @property
    def bank(self) -> TargetBank | None:
        """Where statistics are kept, if anywhere."""
        if self._bank is None and self._bank_folder is not None:
            self._bank = TargetBank(self._bank_folder, self.facts(), self.compute.device)
        return self._bank

    def facts(self) -> dict[str, Any]:
        """Everything that the statistics depend on; JSON-able."""
        return {
            "version": self.version,
            "fingerprint": self.data.fingerprint,
            "train_fingerprint": self.data.train.fingerprint,
            "split": self.data.split,
            "size": self.data.size,
            "normalisation": [list(self.data.normalisation.mean), list(self.data.normalisation.std)],
            "base": self.base,
            "net": self.net_spec,
            "batch_real": self.batch_real,
            "augmentation": self.augment.strategy,
            "seed": self.seed,
            "part": self.passes.part,
            **self.compute.facts(),
        }

    @abstractmethod
    def at(self, iteration: int) -> Targets:
        """Targets of `iteration` (>= 0)."""

    def state_dict(self) -> dict[str, Tensor | Scalar]:
        """What was trained so far, where it continues from iteration to iteration; keys start with `real/`."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 (nothing to take up where nothing is trained)
        """Take up a `state_dict`; what is missing in it is found in the bank or computed again."""

    def build_net(self, purpose: str, index: int) -> Network:
        """The network at (seed, purpose, index), placed."""
        net = nets.build(
            self.net_spec,
            channels=self.data.channels,
            size=self.data.size,
            classes=self.data.classes,
            generator=generator(self.seed, purpose, index),
        )
        return self.passes.place(net)

    def draws(self, iteration: int) -> list[Draw]:
        """The augmentation draw of each class."""
        return [
            self.augment.draw(generator(self.seed, "augmentation", iteration, class_))
            for class_ in range(self.data.classes)
        ]

    def batch(self, iteration: int, class_: int, draw: Draw) -> Tensor:
        """Augmented real images of a class, normalised, (n, C, S, S)."""
        stream = generator(self.seed, "real_batch", iteration, class_)
        pixels = self.data.train.sample(class_, self.batch_real, stream).to(self.compute.device)
        return self.augment(self.data.normalisation.apply(pixels), draw)

    def feature_statistics(
        self, net: Network, iteration: int, draws: list[Draw], *, covariances: bool
    ) -> dict[str, Tensor]:
        """`means`, and `covariances` if wanted, of the augmented real batches of all classes."""
        means, sigmas = [], []
        for class_, draw in enumerate(draws):
            images = self.batch(iteration, class_, draw)
            if covariances:
                embedding, local = self.passes.embed_with_map(net, images)
                sigmas.append(local_covariance(local))
            else:
                embedding = self.passes.embed(net, images)
            means.append(embedding.mean(dim=0))
        statistics = {"means": torch.stack(means)}
        if covariances:
            statistics["covariances"] = torch.stack(sigmas)
        return statistics


class FreshRealSide(RealSide):
    """DM's real side: a new random network in every iteration, never trained, so that iterations stand alone.

    Args:
        data, net_spec, batch_real, augmentation, seed, compute, bank: see `RealSide`.
        covariances: whether local covariances are computed as well.
    """

    base = "dm"
    version = 2

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
        super().__init__(data, net_spec, batch_real, augmentation, seed, compute, bank)
        self.covariances = covariances

    def facts(self) -> dict[str, Any]:
        """See `RealSide.facts`."""
        statistics = ["means", "covariances"] if self.covariances else ["means"]
        return {**super().facts(), "statistics": statistics}

    @torch.no_grad()
    def at(self, iteration: int) -> Targets:
        """Targets of `iteration` (>= 0)."""
        net = self.build_net("matching_net", iteration).requires_grad_(False)
        draws = self.draws(iteration)

        def compute() -> Mapping[str, Tensor]:
            return self.feature_statistics(net, iteration, draws, covariances=self.covariances)

        found = compute() if self.bank is None else self.bank.get(iteration, compute)
        return Targets(net, draws, found["means"], found.get("covariances"))
