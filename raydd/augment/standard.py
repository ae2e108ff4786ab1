"""The augmentations that classifiers are trained with everywhere: crop, RandomResizedCrop and flip, all applied."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from raydd.augment.augmentation import Augmentation
from raydd.augment.ops import Op, flip, shift

PREFIX = "standard"

PADDING = 4
"""Most pixels that an image is shifted by: what the authors take at 32 px and above."""
FULL_SIZE = 32
"""Side in pixels from which on images are shifted by `PADDING`."""
AREA = (0.08, 1.0)
"""Smallest and largest share of the image's area that RandomResizedCrop cuts out."""
ASPECT = (3.0 / 4.0, 4.0 / 3.0)
"""Smallest and largest width / height of that part."""
ATTEMPTS = 10
"""Draws of area and aspect before RandomResizedCrop takes the middle."""


def padding(side: int) -> int:
    """Pixels that `crop` pads on either side of an axis of `side` pixels: 4 from 32 px on, side // 8 below.

    Four pixels are half of an 8 px digit, and what is left of it is often no digit.
    """
    return PADDING if side >= FULL_SIZE else side // 8


def crop(x: Tensor, u: Tensor) -> Tensor:
    """Pad by `padding` pixels of zero and cut the old size out at a uniform place.

    Zero is the dataset's mean colour here, as in every op of ours; the authors' scripts pad before they normalise,
    with black.
    """
    rows, columns = x.shape[2:]
    return shift(x, u, (padding(rows), padding(columns)))


def resized_crop(x: Tensor, u: Tensor) -> Tensor:
    """RandomResizedCrop (Szegedy et al., CVPR 2015), enlarged bilinearly to the size of `x`.

    Up to ten times: area = H W U(0.08, 1) and log aspect uniform between log 3/4 and log 4/3 give
    w = round(sqrt(area aspect)) and h = round(sqrt(area / aspect)); the first that fits into the image is cut out at a
    uniform place. Where none fits, the largest part in the middle whose aspect is allowed is. Pixel r of the output
    is read at (r + 1/2) h / H - 1/2 of the part, and never outside it.

    Both axes are products with matrices, whose gradient has one order of summation on a GPU too.
    """
    (top, height), (left, width) = boxes(u, *x.shape[2:])
    rows, columns = _reading(x, top, height, x.shape[2]), _reading(x, left, width, x.shape[3])
    return rows @ x @ columns.mT


def boxes(u: Tensor, rows: int, columns: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The parts of images of `rows` x `columns` pixels that RandomResizedCrop cuts out.

    Args:
        u: unit uniforms float64 (n, 22): ten of the areas, ten of the aspects, and those of the place.
        rows, columns: of the images.

    Returns:
        First row and number of rows, first column and number of columns, each int64 (n,).
    """
    area = rows * columns * (AREA[0] + u[:, :ATTEMPTS] * (AREA[1] - AREA[0]))
    low, high = (math.log(bound) for bound in ASPECT)
    aspect = torch.exp(low + u[:, ATTEMPTS : 2 * ATTEMPTS] * (high - low))
    widths, heights = torch.sqrt(area * aspect).round().long(), torch.sqrt(area / aspect).round().long()
    fits = (widths >= 1) & (widths <= columns) & (heights >= 1) & (heights <= rows)
    first, none = fits.int().argmax(dim=1, keepdim=True), ~fits.any(dim=1)
    height = heights.gather(1, first).squeeze(1).masked_fill(none, min(rows, round(columns / ASPECT[0])))
    width = widths.gather(1, first).squeeze(1).masked_fill(none, min(columns, round(rows * ASPECT[1])))
    top = torch.where(none, (rows - height) // 2, (u[:, -2] * (rows - height + 1)).long())
    left = torch.where(none, (columns - width) // 2, (u[:, -1] * (columns - width + 1)).long())
    return (top, height), (left, width)


def _reading(x: Tensor, first: Tensor, length: Tensor, side: int) -> Tensor:
    """How much of each pixel of an axis every pixel of the output takes, (n, 1, side, side), where `x` is.

    The places are found in float64 on the CPU, and only they are moved: the weights of a large batch are large.
    """
    place = (torch.arange(side, dtype=torch.float64) + 0.5) * (length.double()[:, None] / side) - 0.5
    place = place.clamp(min=0.0).minimum(length.double()[:, None] - 1.0) + first[:, None]
    lower = place.floor()
    share = (place - lower).to(x)[:, None, :, None]
    away = torch.arange(side, device=x.device) - lower.to(x.device).long()[:, None, :, None]
    return (away == 0) * (1.0 - share) + (away == 1) * share


class Standard(Augmentation):
    """Every op that is listed, in the order of the list: `crop_flip`, `crop`, `rrc_flip` or `rrc`.

    Args:
        ops: of `crop` (pad and crop back), `rrc` (RandomResizedCrop) and `flip` (left to right, p 0.5), joined by
            `_`; an empty string or `none` is the identity. The strategy is called `standard:` and these.

    Raises:
        ConfigError: an op is unknown.
    """

    known: ClassVar[Mapping[str, Op]] = {
        "crop": (2, crop),
        "flip": (1, flip),
        "rrc": (2 * ATTEMPTS + 2, resized_crop),
    }

    def __init__(self, ops: str) -> None:
        super().__init__(f"{PREFIX}:{ops}", ops)

    def _choose(self, generator: torch.Generator) -> tuple[str, ...]:
        return self.ops
