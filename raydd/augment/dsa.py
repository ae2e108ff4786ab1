"""DSA: one differentiable augmentation a call, its parameters shared by a batch or one set a sample.

Formulas of Zhao and Bilen's differentiable siamese augmentation (reference code of DC, DSA, DM, IDM, IID).
Images are normalised, so "zero" is the dataset's mean colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from raydd.errors import ConfigError, unknown

CROP = 0.125
"""Largest shift, as a share of the side."""
CUTOUT = 0.5
"""Side of the cut-out square, as a share of the image's."""
SCALE = 1.2
"""Largest factor; the smallest is 1 / SCALE."""
ROTATE = 15.0
"""Largest angle in degrees, either way."""


@dataclass(frozen=True, eq=False)
class Draw:
    """What one call does: an op and its unit uniforms, whatever the size of the batch and the image.

    Attributes:
        op: one op of the strategy, or `none`.
        uniforms: float32 on the CPU in [0, 1), shape (1, k) for parameters shared by the whole batch or
            (n, k) for one set a sample.
    """

    op: str
    uniforms: Tensor


class DSA:
    """Augmentation by a strategy such as `color_crop_cutout_flip_scale_rotate`: one op a call, all equally likely.

    One draw applied to a real and to a synthetic batch is the siamese augmentation of matching.

    Args:
        strategy: ops joined by `_`; an empty string or `none` is the identity.

    Raises:
        ConfigError: an op is unknown.
    """

    def __init__(self, strategy: str) -> None:
        self.strategy = strategy
        self.ops = tuple(strategy.split("_")) if strategy not in ("", "none") else ()
        for op in self.ops:
            if op not in _OPS:
                raise ConfigError(f"augmentation: {unknown('op', op, _OPS)} in {strategy!r}")

    def draw(self, generator: torch.Generator, samples: int | None = None) -> Draw:
        """Draw one op, and one parameter set for all (`samples` None; siamese) or one for each of `samples`."""
        rows = 1 if samples is None else samples
        if not self.ops:
            return Draw("none", torch.empty(rows, 0))
        op = self.ops[int(torch.randint(len(self.ops), (1,), generator=generator))]
        return Draw(op, torch.rand(rows, _OPS[op][0], generator=generator))

    def __call__(self, x: Tensor, draw: Draw) -> Tensor:
        """Apply a draw to normalised images (N, C, H, W); differentiable in `x`, on the device of `x`.

        Raises:
            ValueError: the draw is for another number of samples.
        """
        if draw.op == "none":
            return x
        if draw.uniforms.shape[0] not in (1, x.shape[0]):
            raise ValueError(f"draw for {draw.uniforms.shape[0]} samples applied to {x.shape[0]}")
        # In float32 a uniform just below 1 times an integer can round up to that integer.
        return _OPS[draw.op][1](x, draw.uniforms.double())


def _per_image(values: Tensor, x: Tensor) -> Tensor:
    """(n,) to (n, 1, 1, 1) with the dtype and device of `x`."""
    return values.to(dtype=x.dtype, device=x.device).view(-1, 1, 1, 1)


def _color(x: Tensor, u: Tensor) -> Tensor:
    """Brightness x + (u-0.5); saturation (x - mean_ch) 2u + mean_ch; contrast (x - mean_img)(u+0.5) + mean_img."""
    x = x + _per_image(u[:, 0] - 0.5, x)
    x = torch.lerp(x.mean(dim=1, keepdim=True), x, _per_image(2.0 * u[:, 1], x))
    return torch.lerp(x.mean(dim=(1, 2, 3), keepdim=True), x, _per_image(u[:, 2] + 0.5, x))


def _crop(x: Tensor, u: Tensor) -> Tensor:
    """out[i, j] = x[i + s, j + t], zero outside; s, t integers uniform in +-int(0.125 side + 0.5)."""
    height, width = x.shape[2:]
    reach = torch.tensor([int(CROP * height + 0.5), int(CROP * width + 0.5)])
    shifts = (u * (2 * reach + 1)).long() - reach
    if len(shifts) == 1:
        s, t = shifts[0].tolist()
        return F.pad(x, (-t, t, -s, s))
    pad_rows, pad_columns = reach.tolist()
    padded = F.pad(x, (pad_columns, pad_columns, pad_rows, pad_rows))
    rows = torch.arange(height) + shifts[:, :1] + pad_rows
    columns = torch.arange(width) + shifts[:, 1:] + pad_columns
    index = (rows[:, :, None] * padded.shape[3] + columns[:, None, :]).view(len(x), 1, -1)
    index = index.to(x.device).expand(-1, x.shape[1], -1)
    return padded.flatten(2).gather(2, index).view_as(x)


def _cutout(x: Tensor, u: Tensor) -> Tensor:
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


def _flip(x: Tensor, u: Tensor) -> Tensor:
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


def _scale(x: Tensor, u: Tensor) -> Tensor:
    """Stretch both axes on their own by factors uniform in [1/1.2, 1.2]."""
    return _affine(x, torch.diag_embed(1.0 / SCALE + u * (SCALE - 1.0 / SCALE)))


def _rotate(x: Tensor, u: Tensor) -> Tensor:
    """Turn about the centre by an angle uniform in +-15 degrees."""
    angle = math.radians(ROTATE) * (2.0 * u[:, 0] - 1.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return _affine(x, torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2))


_OPS: dict[str, tuple[int, Callable[[Tensor, Tensor], Tensor]]] = {
    "color": (3, _color),
    "crop": (2, _crop),
    "cutout": (2, _cutout),
    "flip": (1, _flip),
    "scale": (2, _scale),
    "rotate": (1, _rotate),
}
"""Name -> (number of uniforms, the op)."""
