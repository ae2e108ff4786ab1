"""Top-1 accuracy of networks on stored images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from raydd.devices import Compute
from raydd.nets import Network, Passes

if TYPE_CHECKING:
    from raydd.data import ImageData
    from raydd.normalisation import Normalisation

BATCH = 500


@torch.no_grad()
def accuracies(
    nets: Sequence[Network], data: ImageData, normalisation: Normalisation, compute: Compute
) -> list[float]:
    """Fraction of the images of `data` whose largest logit is their label's, in [0, 1], for each network.

    The images are read and normalised once for all networks.

    Args:
        nets: classifiers; moved to the device, left in eval mode.
        data: one split, read in order.
        normalisation: what the networks' training images were normalised with.
        compute: where and how.
    """
    passes = Passes(compute, image_gradient=False, batch=min(BATCH, len(data)), size=data.size)
    placed = [passes.place(net).eval() for net in nets]
    correct = torch.zeros(len(placed), dtype=torch.int64, device=compute.device)
    for pixels, labels in data.iterate(BATCH):
        images = normalisation.apply(pixels.to(compute.device))
        labels = labels.to(compute.device)
        for index, net in enumerate(placed):
            correct[index] += (passes.logits(net, images).argmax(dim=1) == labels).sum()
    return [count / len(data) for count in correct.tolist()]
