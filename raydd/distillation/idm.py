"""IDM: DM with partitioned images, a queue of trained networks and a cross-entropy (Zhao et al.; IDM_cifar10.py)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from raydd.distillation.dm import DM
from raydd.distillation.queue_side import QueueRealSide, QueueSettings
from raydd.distillation.real_side import RealSide, Targets
from raydd.formation import cells_spec, initial_images

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.registry import Context
    from trainables.idm import IDMHyperparameters


class IDM(DM):
    """L_c = || mean phi(A(t)) - mean phi(A(E(s))) ||^2 + ce_weight * acc * CE(net(A(E(s))), c), class by class.

    E parts every stored image into factor x factor images and enlarges them; phi is a random network of the
    queue; acc is its running top-1 training accuracy in percent, so that a net never trained adds no CE.

    Args:
        hyperparameters, context, data, seed, device, bank, iid: see `DM`.
    """

    method: ClassVar[str] = "idm"
    hyperparameters: IDMHyperparameters

    def initial(self, context: Context, data: DataSplits, seed: int) -> Tensor:
        """Every cell a downscaled real image of its own (`--aug`), bilinearly, as the authors do it."""
        values = self.hyperparameters
        return initial_images(
            data.train,
            context.ipc,
            data.normalisation,
            seed,
            values.init,
            factor=values.factor,
            resize="bilinear",
        )

    def update(self) -> str:
        """A step a class, as the authors do, or one for all."""
        return self.hyperparameters.update

    def decoding(self) -> dict[str, Any]:
        """E, the partition and expansion."""
        return cells_spec(self.hyperparameters.factor)

    def make_real_side(self, bank: Path | None) -> RealSide:
        """The queue."""
        values = self.hyperparameters
        settings = QueueSettings(**{name: getattr(values, name) for name in vars(QueueSettings())})
        return QueueRealSide(
            self.data,
            values.net,
            values.batch_real,
            self.augmentation,
            settings,
            self.seed,
            self.compute,
            bank,
        )

    def base_terms(self, embedding: Tensor, targets: Targets, classes: slice) -> dict[str, Tensor]:
        """`dm`, and `ce`, the sum over classes of the mean cross-entropy of a class."""
        terms = super().base_terms(embedding, targets, classes)
        if self.ce_weight(targets):
            first, last, _ = classes.indices(self.data.classes)
            labels = torch.arange(first, last, device=embedding.device).repeat_interleave(self.views)
            logits = targets.net.classifier(embedding)
            terms["ce"] = F.cross_entropy(logits, labels, reduction="sum") / self.views
        return terms

    def ce_weight(self, targets: Targets) -> float:
        """Weight of the cross-entropy: ce_weight times the network's accuracy in percent."""
        return self.hyperparameters.ce_weight * targets.accuracy

    def weights(self, targets: Targets) -> dict[str, float]:
        """See `DM.weights`."""
        return {**super().weights(targets), "ce": self.ce_weight(targets)}
