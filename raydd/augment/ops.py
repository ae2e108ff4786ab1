"""The differentiable operations that augmentations are made of, as functions of images and unit uniforms.

Formulas of Zhao and Bilen's differentiable siamese augmentation (reference code of DC, DSA, DM, IDM, IID), which
IDC's DiffAug shares. Images are normalised, so "zero" is the dataset's mean colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

CROP = 0.125
"""Largest shift, as a share of the side."""
CUTOUT = 0.5
"""Side of the cut-out square, as a share of the image's."""
SCALE = 1.2
"""Largest factor; the smallest is 1 / SCALE."""
ROTATE = 15.0
"""Largest angle in degrees, either way."""


def _per_image(values: Tensor, x: Tensor) -> Tensor:
    """(n,) to (n, 1, 1, 1) with the dtype and device of `x`."""
    return values.to(dtype=x.dtype, device=x.device).view(-1, 1, 1, 1)


def color(x: Tensor, u: Tensor) -> Tensor:
    """Brightness x + (u-0.5); saturation (x - mean_ch) 2u + mean_ch; contrast (x - mean_img)(u+0.5) + mean_img."""
    x = x + _per_image(u[:, 0] - 0.5, x)
    x = torch.lerp(x.mean(dim=1, keepdim=True), x, _per_image(2.0 * u[:, 1], x))
    return torch.lerp(x.mean(dim=(1, 2, 3), keepdim=True), x, _per_image(u[:, 2] + 0.5, x))


def crop(x: Tensor, u: Tensor) -> Tensor:
    """out[i, j] = x[i + s, j + t], zero outside; s, t integers uniform in +-int(0.125 side + 0.5)."""
    height, width = x.shape[2:]
    return shift(x, u, (int(CROP * height + 0.5), int(CROP * width + 0.5)))


def shift(x: Tensor, u: Tensor, most: tuple[int, int]) -> Tensor:
    """out[i, j] = x[i + s, j + t], zero outside; s, t integers uniform in +-`most` rows and columns."""
    height, width = x.shape[2:]
    reach = torch.tensor(most)
    shifts = (u * (2 * reach + 1)).long() - reach
    if len(shifts) == 1:
        s, t = shifts[0].tolist()
        return F.pad(x, (-t, t, -s, s))
    pad_rows, pad_columns = most
    padded = F.pad(x, (pad_columns, pad_columns, pad_rows, pad_rows))
    rows = torch.arange(height) + shifts[:, :1] + pad_rows
    columns = torch.arange(width) + shifts[:, 1:] + pad_columns
    index = (rows[:, :, None] * padded.shape[3] + columns[:, None, :]).view(len(x), 1, -1)
    index = index.to(x.device).expand(-1, x.shape[1], -1)
    return padded.flatten(2).gather(2, index).view_as(x)


def cutout(x: Tensor, u: Tensor) -> Tensor:
    """Zero a square of side int(0.5 side + 0.5) whose centre is a uniform pixel, clipped at the border.

    The rows are c - s//2 to c - s//2 + s - 1; for an even s the centre c runs up to and including the side.
    """
    inside = []
    for axis, side in enumerate(x.shape[2:]):
        square = int(CUTOUT * side + 0.5)
        start = (u[:, axis : axis + 1] * (side + 1 - square % 2)).long() - square // 2
        place = torch.arange(side)
        inside.append((place >= start) & (place < start + square))
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return x.masked_fill(hole.to(x.device), 0.0)


def flip(x: Tensor, u: Tensor) -> Tensor:
    """Mirror left to right where u < 0.5."""
    if len(u) == 1:
        return x.flip(3) if u.item() < 0.5 else x
    return torch.where((u < 0.5).view(-1, 1, 1, 1).to(x.device), x.flip(3), x)


def _affine(x: Tensor, matrices: Tensor) -> Tensor:
    """Sample `x` bilinearly, zero outside, at matrix times place; matrices (1 or N, 2, 2), places in [-1, 1]."""
    theta = F.pad(matrices, (0, 1)).to(dtype=x.dtype, device=x.device)
    grid = F.affine_grid(theta, [len(theta), *x.shape[1:]], align_corners=False)
    return F.grid_sample(
        x, grid.expand(len(x), -1, -1, -1), mode="bilinear", padding_mode="zeros", align_corners=False
    )


def scale(x: Tensor, u: Tensor) -> Tensor:
    """Stretch both axes on their own by factors uniform in [1/1.2, 1.2]."""
    return _affine(x, torch.diag_embed(1.0 / SCALE + u * (SCALE - 1.0 / SCALE)))


def rotate(x: Tensor, u: Tensor) -> Tensor:
    """Turn about the centre by an angle uniform in +-15 degrees."""
    angle = math.radians(ROTATE) * (2.0 * u[:, 0] - 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return _affine(x, torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2))


Op = tuple[int, Callable[[Tensor, Tensor], Tensor]]
"""Number of unit uniforms, and the op of images (N, C, H, W) and uniforms float64 (1 or N, number)."""

OPS: dict[str, Op] = {
    "color": (3, color),
    "crop": (2, crop),
    "cutout": (2, cutout),
    "flip": (1, flip),
    "scale": (2, scale),
    "rotate": (1, rotate),
}
"""The ops of DSA and DiffAug by name."""
