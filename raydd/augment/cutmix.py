"""CutMix: a box of every image is replaced by another image's, and its target by as much of the other's."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def cutmix(
    images: Tensor, targets: Tensor, classes: int, probability: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mix a batch with a permutation of itself, as IDC's `train.py` does (Yun et al., ICCV 2019).

    With `probability`, lambda ~ Beta(1, 1); every image takes the pixels of one box from its partner in one random
    permutation. The box reaches half of int(side * sqrt(1 - lambda)), rounded down, to either side of a uniform
    pixel and is clipped at the border. With r = 1 - (area of the box) / (area of the image), the targets are
    r y + (1 - r) y_partner, whose cross-entropy is r CE(y) + (1 - r) CE(y_partner).

    Args:
        images: (N, C, H, W); not changed.
        targets: int64 (N,), or soft labels (N, classes); not changed.
        classes: number of classes.
        probability: of mixing the batch at all, in [0, 1].
        generator: CPU generator; one decision, one box and one permutation are drawn, mixed or not.

    Returns:
        The images, and their targets: with probability 0 as they came, without a draw; else always soft labels,
        (N, classes) with the dtype of the images, so that compiled code sees one shape.
    """
    if probability == 0.0:
        return images, targets
    # Drawn in float64, because in float32 a uniform just below 1 times an integer can round up to that integer.
    decision, share, row, column = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    partner = torch.randperm(len(images), generator=generator).to(images.device)
    hard = not targets.is_floating_point()
    soft = (F.one_hot(targets, classes) if hard else targets).to(images.dtype)
    if decision >= probability:
        return images, soft
    height, width = images.shape[2:]
    rows = _reach(height, row, share)
    columns = _reach(width, column, share)
    mixed = images.clone()
    mixed[:, :, rows, columns] = images[:, :, rows, columns].index_select(0, partner)
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    ratio = 1.0 - area / (height * width)
    return mixed, ratio * soft + (1.0 - ratio) * soft.index_select(0, partner)


def _reach(side: int, centre: float, share: float) -> slice:
    """Where the box lies along one side; `centre` and `share` = 1 - lambda are unit uniforms."""
    half = int(side * math.sqrt(share)) // 2
    middle = int(centre * side)
    return slice(max(middle - half, 0), min(middle + half, side))
