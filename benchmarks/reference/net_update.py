"""Training of IDC's network between matching steps, as `train_epoch` of its train.py goes: batches with CutMix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

Augment = Callable[[int, Tensor], Tensor]
"""(number of the batch, normalised images) to augmented images."""
Mix = Callable[[int, int], tuple[Sequence[float], Tensor]]
"""(number of the batch, images) to unit uniforms (decision, 1 - lambda, row, column) and partners."""


def train_epoch(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    images_all: Tensor,
    labels_all: Tensor,
    order: Tensor,
    augment: Augment,
    mix: Mix,
    *,
    n_data: int,
    batch: int,
    cutmix: float,
    mean: Sequence[float],
    std: Sequence[float],
) -> tuple[float, float, float]:
    """Train on the first `n_data` images of `order`, in whole batches.

    Args:
        net, optimizer: what is trained.
        images_all: all images, float32 in [0, 1], (N, C, S, S), in memory as the authors' loader has them.
        labels_all: their classes, (N,).
        order: indices of the images.
        augment, mix: the random numbers.
        n_data, batch: images in all, and of one batch.
        cutmix: probability of CutMix for a batch.
        mean, std: of each channel.

    Returns:
        Mean loss, top-1 and top-5 accuracy in percent.
    """
    criterion = nn.CrossEntropyLoss()
    losses, top1, top5, seen = 0.0, 0.0, 0.0, 0
    net.train()
    for number, rows in enumerate(order.split(batch)):
        images, target = images_all[rows], labels_all[rows]
        with torch.no_grad():
            images = normalise(images, mean, std)
            images = augment(number, images)
        uniforms, partner = mix(number, len(rows))
        if uniforms[0] < cutmix:
            target_b = target[partner]
            height, width = images.shape[2:]
            y1, y2 = reach(height, uniforms[2], uniforms[1])
            x1, x2 = reach(width, uniforms[3], uniforms[1])
            images = images.clone()
            images[:, :, y1:y2, x1:x2] = images[partner, :, y1:y2, x1:x2]
            ratio = 1 - ((y2 - y1) * (x2 - x1) / (height * width))
            output = net(images)
            loss = criterion(output, target) * ratio + criterion(output, target_b) * (1.0 - ratio)
        else:
            output = net(images)
            loss = criterion(output, target)

        acc1, acc5 = hits(output.data, target)
        losses += loss.item() * len(rows)
        top1 += acc1 * len(rows)
        top5 += acc5 * len(rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen += len(rows)
        if seen >= n_data:
            break
    return losses / seen, top1 / seen, top5 / seen


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(x - mean) / std for each channel."""
    return (images - torch.tensor(mean).reshape(1, -1, 1, 1)) / torch.tensor(std).reshape(1, -1, 1, 1)


def reach(side: int, centre: float, share: float) -> tuple[int, int]:
    """Where the box lies along one side; `centre` is a unit uniform and `share` is 1 - lambda."""
    cut = int(side * np.sqrt(share))
    middle = int(centre * side)
    low, high = np.clip([middle - cut // 2, middle + cut // 2], 0, side)
    return int(low), int(high)


def hits(output: Tensor, target: Tensor) -> tuple[float, float]:
    """Top-1 and top-5 accuracy of a batch in percent."""
    most = min(5, output.shape[1])
    found = output.topk(most, dim=1).indices.t().eq(target.view(1, -1))
    counts = [found[:k].reshape(-1).float().sum(0).item() for k in (1, most)]
    return 100.0 * counts[0] / len(target), 100.0 * counts[1] / len(target)
