"""IID: class centralisation and local covariance matching added to DM (Deng et al., CVPR 2024; main_DM_IID.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from raydd.devices import Compute
from raydd.distillation.dm import DM
from raydd.distillation.losses import (
    class_centralization,
    local_covariance,
    mean_matching,
    squared_deviations,
    squared_distance,
)
from raydd.distillation.real_side import Targets
from raydd.nets import Passes
from raydd.seeding import generator

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.nets import Network
    from raydd.registry import Context
    from trainables.iid import IIDHyperparameters


class IID(DM):
    """L = L_DM + lambda_cc * L_CC + lambda_cm * L_CM.

    With one image per class both terms have no gradient (d = 0, and a constant ||Sigma(T)||^2 is left): they
    are not computed then, nor where their weight is 0, and the images equal DM's bit for bit.

    Args:
        hyperparameters: every number of the method.
        context, data, seed, device, bank: see `DM`.
        pool: frozen feature extractors psi, trained on `data.train`; one is drawn in every iteration.
            May be empty where L_CC is not computed.
    """

    method: ClassVar[str] = "iid"

    def __init__(
        self,
        hyperparameters: IIDHyperparameters,
        context: Context,
        data: DataSplits,
        pool: Sequence[Network],
        seed: int,
        device: torch.device,
        bank: Path | None = None,
    ) -> None:
        super().__init__(hyperparameters, context, data, seed, device, bank)
        self.pool = pool
        self.form = hyperparameters.cc_form
        self.alpha = hyperparameters.alpha
        self.beta = hyperparameters.beta
        acts = context.ipc > 1
        self.lambda_cc = hyperparameters.lambda_cc if acts else 0.0
        self.lambda_cm = hyperparameters.lambda_cm if acts else 0.0

    @property
    def needs_covariances(self) -> bool:
        """With several images per class always, whatever `lambda_cm`: trials share the real side."""
        return self.context.ipc > 1

    def terms(self, images: torch.Tensor, targets: Targets, classes: slice) -> dict[str, torch.Tensor]:
        """Loss terms `dm`, and `cm` and `cc` where they act, before their weights; see `DM.terms`."""
        if not self.lambda_cm:
            terms = super().terms(images, targets, classes)
        else:
            embedding, local = self.passes.embed_with_map(targets.net, images)
            assert targets.covariances is not None
            syn = local_covariance(self.by_class(local))
            terms = {
                "dm": mean_matching(targets.means[classes], self.by_class(embedding).mean(dim=1)),
                "cm": squared_distance(targets.covariances[classes], syn),
            }
        if self.lambda_cc:
            features = self.by_class(self.passes.embed(self._extractor(), images))
            terms["cc"] = class_centralization(features, self.form, self.alpha, self.beta)
        return terms

    def total(self, terms: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """L_DM + lambda_cc * L_CC + lambda_cm * L_CM, of the terms that act."""
        total = terms["dm"]
        if "cc" in terms:
            total = total + self.lambda_cc * terms["cc"]
        if "cm" in terms:
            total = total + self.lambda_cm * terms["cm"]
        return total

    def _extractor(self) -> Network:
        stream = generator(self.seed, "pool_net", self.iteration)
        return self.pool[int(torch.randint(len(self.pool), (), generator=stream))]


@torch.no_grad()
def deviation_percentile(
    pool: Sequence[Network], images: torch.Tensor, percent: float, compute: Compute
) -> float:
    """Percentile of d_j = || psi(s_j) - mean_j psi(s_j) ||^2 over images and extractors.

    Args:
        pool: feature extractors psi.
        images: normalised, shape (classes, ipc, C, H, W), on the extractors' device.
        percent: in [0, 100].
        compute: how the extractors run in distillation, where image gradients flow.
    """
    whole = images.flatten(0, 1)
    passes = Passes(compute, image_gradient=True, batch=min(len(whole), 512), size=images.shape[-1])
    features = [passes.embed(psi, whole).unflatten(0, images.shape[:2]) for psi in pool]
    deviations = [squared_deviations(of_class) for by_class in features for of_class in by_class]
    return float(np.percentile(torch.cat(deviations).cpu().numpy(), percent))
