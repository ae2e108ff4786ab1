"""IDC's real side: gradients under a network that is trained between matching steps and renewed every so often."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from raydd.augment import Draw, cutmix
from raydd.augment import build as build_augmentation
from raydd.devices import Compute
from raydd.distillation.chained_side import ChainedRealSide
from raydd.distillation.real_side import Targets
from raydd.nets import GradientPasses, Network, Passes
from raydd.seeding import generator
from raydd.training import OnlineNet

if TYPE_CHECKING:
    from raydd.data import DataSplits

GRADIENT = "gradient/"


@dataclass(frozen=True)
class NetTraining:
    """How the matching network is trained; defaults are the authors' for CIFAR-10 (condense.py, train.py).

    Attributes:
        inner_loop: matching steps that one network lives for.
        n_data: real images that it is trained on after each; rounded up to whole batches; 0 is none.
        batch_train: images of a batch.
        lr_net, momentum_net, weight_decay_net: of its SGD.
        augmentation: strategy, with parameters of their own for every image.
        cutmix: probability of CutMix for a batch.
        early: epochs before a new network is first matched; an epoch is as many whole batches of random real images
            as there are, and leaves out the rest.
    """

    inner_loop: int = 100
    n_data: int = 2000
    batch_train: int = 64
    lr_net: float = 0.01
    momentum_net: float = 0.9
    weight_decay_net: float = 5e-4
    augmentation: str = "idc:color_crop"
    cutmix: float = 0.5
    early: int = 0


class TrainedRealSide(ChainedRealSide):
    """Gradients and mean embeddings of each class's real batch under IDC's network.

    Mean embeddings come from the same forward pass and are kept for UDD, so that IDC and UDD share one bank.

    Args:
        data, net_spec, batch_real, augmentation, seed, compute, bank: see `RealSide`.
        settings: how the network is trained.
    """

    base = "idc"
    version = 2

    def __init__(
        self,
        data: DataSplits,
        net_spec: str,
        batch_real: int,
        augmentation: str,
        settings: NetTraining,
        seed: int,
        compute: Compute,
        bank: Path | None = None,
    ) -> None:
        super().__init__(data, net_spec, batch_real, augmentation, seed, compute, bank)
        self.settings = settings
        self.net: OnlineNet | None = None
        self.gradients = GradientPasses(compute, batch_real=self.largest_batch, size=data.size)
        batch = min(settings.batch_train, len(data.train))
        self.training = Passes(compute, image_gradient=False, batch=batch, size=data.size)
        self.training_augment = build_augmentation(settings.augmentation)
        self._labels = torch.as_tensor(data.train.labels, dtype=torch.int64, device=compute.device)

    def facts(self) -> dict[str, Any]:
        """See `RealSide.facts`."""
        return {**super().facts(), "training": vars(self.settings), "training_part": self.training.part}

    def start(self, iteration: int) -> int:
        """A new network comes every `inner_loop` matching steps."""
        return iteration - iteration % self.settings.inner_loop

    def begin(self, iteration: int) -> None:
        """A new network, trained for `early` epochs."""
        outer = iteration // self.settings.inner_loop
        self.net = self._make(outer)
        for epoch in range(self.settings.early):
            self._train(len(self.data.train), "early", outer * self.settings.early + epoch)

    def advance(self) -> None:
        """Train on `n_data` real images; at the end of an inner loop, start afresh."""
        position = self.position or 0
        if (position + 1) % self.settings.inner_loop == 0:
            self.begin(position + 1)  # nobody would see what this network still learns
        elif self.settings.n_data:
            self._train(self.settings.n_data, "net", position)

    def matched(self) -> tuple[Network, dict[str, Tensor]]:
        """The network as it stands."""
        assert self.net is not None
        return self.net.net, {}

    def statistics(self, net: Network, iteration: int, draws: list[Draw]) -> dict[str, Tensor]:
        """`means`, and `gradient/<i>` for each convolution."""
        means, gradients = [], []
        for class_, draw in enumerate(draws):
            images = self.batch(iteration, class_, draw)
            labels = torch.full((len(images),), class_, dtype=torch.int64, device=images.device)
            of_class, embedding = self.gradients.real(net, images, labels)
            means.append(embedding)
            gradients.append(of_class)
        stacked = {f"{GRADIENT}{index}": torch.stack(layer) for index, layer in enumerate(zip(*gradients))}
        return {"means": torch.stack(means), **stacked}

    def targets(self, net: Network, draws: list[Draw], found: Mapping[str, Tensor]) -> Targets:
        """See `ChainedRealSide.targets`."""
        count = sum(name.startswith(GRADIENT) for name in found)
        gradients = tuple(found[f"{GRADIENT}{index}"] for index in range(count))
        return Targets(net, draws, found["means"], gradients=gradients)

    def chain_state(self) -> dict[str, Tensor]:
        """The network and its momentum."""
        assert self.net is not None
        return self.net.state_dict()

    def load_chain(self, state: Mapping[str, Tensor]) -> None:
        """See `ChainedRealSide.load_chain`."""
        self.net = self._make(0)
        self.net.load_state_dict(state)

    def _make(self, outer: int) -> OnlineNet:
        settings = self.settings
        return OnlineNet(
            self.build_net("matching_net", outer),
            self.training,
            settings.lr_net,
            settings.momentum_net,
            settings.weight_decay_net,
        )

    def _train(self, images: int, purpose: str, number: int) -> None:
        """One pass over `images` random real images in whole batches; streams at (seed, purpose/..., number)."""
        assert self.net is not None
        train, settings = self.data.train, self.settings
        batch = min(settings.batch_train, len(train))
        batches = min(math.ceil(images / batch), len(train) // batch)
        order = torch.randperm(len(train), generator=generator(self.seed, f"{purpose}/order", number))
        for index, rows in enumerate(order[: batches * batch].split(batch)):
            pixels = self.data.normalisation.apply(train.take(rows).to(self.compute.device))
            draw = self.training_augment.draw(
                generator(self.seed, f"{purpose}/augment", number, index), len(rows)
            )
            mixed, targets = cutmix(
                self.training_augment(pixels, draw),
                self._labels[rows.to(self.compute.device)],
                self.data.classes,
                settings.cutmix,
                generator(self.seed, f"{purpose}/cutmix", number, index),
            )
            self.net.step(mixed, targets)
