"""DM: distribution matching, the base that IID stands on (Zhao & Bilen; main_DM.py of DatasetCondensation)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from raydd.distillation.iid_terms import IIDTerms
from raydd.distillation.losses import mean_matching
from raydd.distillation.matching import Matching
from raydd.distillation.real_side import FreshRealSide, RealSide, Targets
from raydd.formation import IDENTITY, initial_images
from raydd.nets import Passes

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.registry import Context
    from trainables.dm import DMHyperparameters

FORWARD_PIXELS = 512 * 32 * 32
"""Synthetic pixels of one forward and backward; more classes than fit are taken in turns, to bound memory."""


class DM(Matching):
    """L = sum_c || mean_i phi(A(t_i)) - mean_j phi(A(s_j)) ||^2, one step of SGD with momentum an iteration.

    phi is a new random network in every iteration, A the class's augmentation draw, shared by the real and
    the synthetic images. All classes step together. IDM replaces phi, the step and the decoding, IID adds terms.

    Args:
        hyperparameters: every number of the method.
        context: dataset facts, IPC, number of iterations, precision and whether networks are compiled.
        data: only `data.train` is read.
        seed: of the run; every draw derives from it.
        device: where to compute.
        bank: folder of the target bank, see `RealSide`.
        iid: the terms that IID adds, or None.
    """

    method: ClassVar[str] = "dm"
    protocol: ClassVar[str] = "dsa"
    hyperparameters: DMHyperparameters

    def __init__(
        self,
        hyperparameters: DMHyperparameters,
        context: Context,
        data: DataSplits,
        seed: int,
        device: torch.device,
        bank: Path | None = None,
        iid: IIDTerms | None = None,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.iid = iid
        override = hyperparameters.augmentation
        self.augmentation = context.augmentation if override is None else override
        super().__init__(
            context,
            data,
            seed,
            device,
            pixels=self.initial(context, data, seed),
            lr=hyperparameters.lr_img,
            momentum=hyperparameters.momentum,
            update=self.update(),
            augmentation=self.augmentation,
            spec=self.decoding(),
        )
        self.real_side: RealSide = self.make_real_side(bank)
        images_a_turn = self.views * min(self._turn, data.classes)
        self.passes = Passes(self.compute, image_gradient=True, batch=images_a_turn, size=data.size)
        if self.iid is not None:
            self.iid.attach(self.passes, seed, self.views)

    def initial(self, context: Context, data: DataSplits, seed: int) -> Tensor:
        """Stored pixels at iteration 0, normalised and class-major."""
        return initial_images(data.train, context.ipc, data.normalisation, seed, self.hyperparameters.init)

    def update(self) -> str:
        """How classes step, see `PixelSGD`."""
        return "joint"

    def decoding(self) -> dict[str, Any]:
        """How stored pixels become the images that are matched."""
        return dict(IDENTITY)

    def make_real_side(self, bank: Path | None) -> RealSide:
        """The method's real side; it may not depend on anything searched."""
        values = self.hyperparameters
        # At IPC 1 a covariance of synthetic images is zero whatever the pixels.
        covariances = self.iid is not None and self.views > 1
        return FreshRealSide(
            self.data,
            values.net,
            values.batch_real,
            self.augmentation,
            covariances,
            self.seed,
            self.compute,
            bank,
        )

    def gradient(self) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Matching.gradient`."""
        targets = self.real_side.at(self.iteration)

        def terms(pixels: Tensor, classes: slice) -> dict[str, Tensor]:
            decoded, draws = self.decode(pixels), targets.draws[classes]
            images = torch.cat([self.augment(x, draw) for x, draw in zip(decoded.unbind(), draws)])
            terms = self.terms(images, targets, classes)
            return {**terms, "total": self.total(terms, targets)}

        return self.over_turns(self._turns(), terms)

    def terms(self, images: Tensor, targets: Targets, classes: slice) -> dict[str, Tensor]:
        """Loss terms before their weights, each summed over `classes`.

        Args:
            images: augmented synthetic images of `classes`, class-major, normalised, carrying the graph.
            targets: of all classes.
            classes: those that `images` holds.
        """
        if self.iid is not None and self.iid.needs_map:
            embedding, local = self.passes.embed_with_map(targets.net, images)
        else:
            embedding, local = self.passes.embed(targets.net, images), None
        terms = self.base_terms(embedding, targets, classes)
        if self.iid is not None:
            terms |= self.iid(images, local, targets, classes, self.iteration)
        return terms

    def base_terms(self, embedding: Tensor, targets: Targets, classes: slice) -> dict[str, Tensor]:
        """The terms of the base alone, from the embeddings (N, D) of the synthetic images."""
        means = embedding.unflatten(0, (-1, self.views)).mean(dim=1)
        return {"dm": mean_matching(targets.means[classes], means)}

    def weights(self, targets: Targets) -> dict[str, float]:
        """The weight of every term that is not 1."""
        return {} if self.iid is None else self.iid.weights

    def total(self, terms: Mapping[str, Tensor], targets: Targets) -> Tensor:
        """The weighted sum of `terms`."""
        weights = self.weights(targets)
        total = terms["dm"]
        for name, term in terms.items():
            if name != "dm":
                total = total + weights[name] * term
        return total

    def recipe(self) -> dict[str, Any]:
        """See `Matching.recipe`."""
        return {
            "protocol": self.protocol,
            "net": self.hyperparameters.net,
            "epochs": None,
            "augmentation": self.augmentation,
        }

    def _turns(self) -> Iterator[slice]:
        classes = self.data.classes
        for first in range(0, classes, self._turn):
            yield slice(first, min(first + self._turn, classes))

    @property
    def _turn(self) -> int:
        """Classes of one forward and backward."""
        return max(1, FORWARD_PIXELS // (self.views * self.data.size**2))
