"""Top-1 accuracy of a network on stored images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from raydd.data import ImageData
    from raydd.normalisation import Normalisation


@torch.inference_mode()
def accuracy(
    net: nn.Module, data: ImageData, normalisation: Normalisation, device: torch.device, batch: int = 512
) -> float:
    """Fraction of the images of `data` whose largest logit is their label's, in [0, 1].

    Args:
        net: classifier on `device`; left in eval mode.
        data: one split, read in order.
        normalisation: what the net's training images were normalised with.
        device: where the forward passes run.
        batch: images a pass.
    """
    net.eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for pixels, labels in data.iterate(batch):
        predicted = net(normalisation.apply(pixels.to(device))).argmax(dim=1)
        correct += (predicted == labels.to(device)).sum()
    return int(correct) / len(data)
