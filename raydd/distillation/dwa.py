"""DWA: images are recovered from a teacher whose weights were moved away from each id's initial images (2409.17612)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from raydd.distillation.recovery import Batch, Recovery
from raydd.nets import Network, Passes

if TYPE_CHECKING:
    from trainables.dwa import DWAHyperparameters

TINY = 1e-12


class DWA(Recovery):
    """SRe2L from real images, with weights of its own for the mean and the variance, and with adjusted weights.

    Before the first iteration of a batch, the teacher's weights make `k` steps of ascent of total length `rho` at the
    most on the cross-entropy of the batch's initial images (`ascend`), as the first iteration shows them. Every batch
    of every id starts from the teacher as it was trained. Running statistics stay what they were.

    Args:
        See `Recovery`.
    """

    method: ClassVar[str] = "dwa"
    hyperparameters: DWAHyperparameters

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._trained = [parameter.clone() for parameter in self.net.parameters()]

    def prepare(self, batch: Batch) -> None:
        """See `Recovery.prepare`: adjusted weights depend on seed and batch alone, so a resumed run has them too."""
        for parameter, trained in zip(self.net.parameters(), self._trained):
            parameter.copy_(trained)
        images = self.augmented(self.initial(batch), batch, 0)
        passes = Passes(self.compute, image_gradient=True, batch=len(images), size=self.data.size)
        labels = batch.labels().to(images.device)
        ascend(self.net, passes, images, labels, self.hyperparameters.rho, self.hyperparameters.k)


def ascend(net: Network, passes: Passes, images: Tensor, labels: Tensor, rho: float, k: int) -> None:
    """k times theta <- theta + (rho / k) g / (||g||_2 + 1e-12), g = grad_theta of the mean CE(f_theta(x), y).

    DWA, perterb.py. The norm is over all parameters, those of the batch norms among them. theta moves by `rho` at
    the most, and by just that where all gradients are parallel.

    Args:
        net: in eval mode, frozen; changed in place and frozen again. Its running statistics are not touched.
        passes: how it is run.
        images: normalised, (N, C, S, S), without a graph; they get no gradient.
        labels: int64 (N,).
        rho: length, >= 0; at 0 nothing is computed.
        k: steps, >= 1.
    """
    if rho == 0.0:
        return
    net.requires_grad_(True)
    for _ in range(k):
        passes.backward(net, images, labels)
        gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.grad is not None:
                    parameter.add_(parameter.grad * (rho / k / (norm + TINY)))
        net.zero_grad(set_to_none=True)
    net.requires_grad_(False)
