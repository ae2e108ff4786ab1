"""The two terms that IID adds to a distribution-matching base (Deng et al., CVPR 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from raydd.devices import Compute
from raydd.distillation.losses import (
    class_centralization,
    local_covariance,
    squared_deviations,
    squared_distance,
)
from raydd.distillation.real_side import Targets
from raydd.nets import Passes
from raydd.seeding import generator

if TYPE_CHECKING:
    from raydd.nets import Network


class IIDTerms:
    """lambda_cc * L_CC + lambda_cm * L_CM on top of DM (main_DM_IID.py) or IDM (IDM_cifar10_IID.py).

    With one image per class after decoding both terms have no gradient (d = 0, and a constant
    ||Sigma(T)||^2 is left): they are not computed then, nor where their weight is 0, and the images equal
    the base's bit for bit.

    Args:
        lambda_cc, lambda_cm: weights of class centralisation and covariance matching, >= 0.
        form, alpha, beta: see `class_centralization`.
        pool: frozen feature extractors psi, trained on `data.train`; one is drawn in every iteration. May be
            empty where L_CC is not computed.
    """

    def __init__(
        self,
        lambda_cc: float,
        lambda_cm: float,
        form: str,
        alpha: float,
        beta: float,
        pool: Sequence[Network],
    ) -> None:
        self.weights = {"cc": lambda_cc, "cm": lambda_cm}
        self.form, self.alpha, self.beta = form, alpha, beta
        self.pool = pool

    def attach(self, passes: Passes, seed: int, views: int) -> None:
        """Join a distiller.

        Args:
            passes: how its networks are run on synthetic images.
            seed: of the run.
            views: its images per class after decoding.
        """
        self.passes, self.seed, self.views = passes, seed, views
        if views == 1:
            self.weights = dict.fromkeys(self.weights, 0.0)

    @property
    def needs_map(self) -> bool:
        """Whether local features of the matching network are wanted."""
        return self.weights["cm"] > 0.0

    def __call__(
        self, images: Tensor, local: Tensor | None, targets: Targets, classes: slice, iteration: int
    ) -> dict[str, Tensor]:
        """Those of `cm` and `cc` that act, before their weights, summed over `classes`.

        Args:
            images: augmented synthetic images of `classes`, class-major, carrying the graph.
            local: their local features (N, K, positions) by the matching network, if `needs_map`.
            targets: of all classes.
            classes: those that `images` holds.
            iteration: of the run; an extractor is drawn by it.
        """
        terms = {}
        if self.weights["cm"]:
            assert local is not None
            assert targets.covariances is not None
            terms["cm"] = squared_distance(
                targets.covariances[classes], local_covariance(self._by_class(local))
            )
        if self.weights["cc"]:
            features = self._by_class(self.passes.embed(self.extractor(iteration), images))
            terms["cc"] = class_centralization(features, self.form, self.alpha, self.beta)
        return terms

    def extractor(self, iteration: int) -> Network:
        """psi of `iteration`."""
        stream = generator(self.seed, "pool_net", iteration)
        return self.pool[int(torch.randint(len(self.pool), (), generator=stream))]

    def _by_class(self, features: Tensor) -> Tensor:
        return features.unflatten(0, (-1, self.views))


@torch.no_grad()
def deviation_percentile(pool: Sequence[Network], images: Tensor, percent: float, compute: Compute) -> float:
    """Percentile of d_j = || psi(s_j) - mean_j psi(s_j) ||^2 over images and extractors.

    Args:
        pool: feature extractors psi.
        images: normalised, shape (classes, images of a class, C, H, W), on the extractors' device.
        percent: in [0, 100].
        compute: how the extractors run in distillation, where image gradients flow.
    """
    whole = images.flatten(0, 1)
    passes = Passes(compute, image_gradient=True, batch=min(len(whole), 512), size=images.shape[-1])
    features = [passes.embed(psi, whole).unflatten(0, images.shape[:2]) for psi in pool]
    deviations = [squared_deviations(of_class) for by_class in features for of_class in by_class]
    return float(np.percentile(torch.cat(deviations).cpu().numpy(), percent))
