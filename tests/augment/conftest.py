"""The operations of DSA's augmentation, one image at a time, written as float64 loops."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raydd.seeding import generator

Image = NDArray[np.float64]
Op = Callable[[Image, Image], Image]


def color(x: Image, u: Image) -> Image:
    channels, height, width = x.shape
    out = x + (u[0] - 0.5) * 1.0
    for i in range(height):
        for j in range(width):
            mean_ch = sum(out[c, i, j] for c in range(channels)) / channels
            out[:, i, j] = (out[:, i, j] - mean_ch) * (2 * u[1]) + mean_ch
    mean_img = sum(out.reshape(-1)) / out.size
    return (out - mean_img) * (u[2] + 0.5) + mean_img


def crop(x: Image, u: Image) -> Image:
    _, height, width = x.shape
    shift = []
    for axis, side in enumerate((height, width)):
        reach = int(0.125 * side + 0.5)
        shift.append(math.floor(u[axis] * (2 * reach + 1)) - reach)
    out = np.zeros_like(x)
    for i in range(height):
        for j in range(width):
            if 0 <= i + shift[0] < height and 0 <= j + shift[1] < width:
                out[:, i, j] = x[:, i + shift[0], j + shift[1]]
    return out


def cutout(x: Image, u: Image) -> Image:
    _, height, width = x.shape
    starts, squares = [], []
    for axis, side in enumerate((height, width)):
        square = int(0.5 * side + 0.5)
        centre = math.floor(u[axis] * (side + 1 - square % 2))
        starts.append(centre - square // 2)
        squares.append(square)
    out = x.copy()
    for i in range(starts[0], starts[0] + squares[0]):
        for j in range(starts[1], starts[1] + squares[1]):
            if 0 <= i < height and 0 <= j < width:
                out[:, i, j] = 0.0
    return out


def flip(x: Image, u: Image) -> Image:
    return x[:, :, ::-1] if u[0] < 0.5 else x


def warp(x: Image, matrix: Callable[[float, float], tuple[float, float]]) -> Image:
    """Bilinear sampling; pixel centres lie at (2j + 1) / side - 1, and everything outside is zero."""
    _, height, width = x.shape
    out = np.zeros_like(x)
    for i in range(height):
        for j in range(width):
            across, down = matrix((2 * j + 1) / width - 1, (2 * i + 1) / height - 1)
            column, row = ((across + 1) * width - 1) / 2, ((down + 1) * height - 1) / 2
            for r in (math.floor(row), math.floor(row) + 1):
                for c in (math.floor(column), math.floor(column) + 1):
                    if 0 <= r < height and 0 <= c < width:
                        out[:, i, j] += (1 - abs(row - r)) * (1 - abs(column - c)) * x[:, r, c]
    return out


def scale(x: Image, u: Image) -> Image:
    sx, sy = (1 / 1.2 + v * (1.2 - 1 / 1.2) for v in u)
    return warp(x, lambda a, b: (sx * a, sy * b))


def rotate(x: Image, u: Image) -> Image:
    angle = (2 * u[0] - 1) * 15 / 180 * math.pi
    cos, sin = math.cos(angle), math.sin(angle)
    return warp(x, lambda a, b: (cos * a - sin * b, sin * a + cos * b))


LOOPS = {"color": color, "crop": crop, "cutout": cutout, "flip": flip, "scale": scale, "rotate": rotate}


@pytest.fixture(scope="session")
def loops() -> dict[str, Op]:
    """Name of an op to its loop over one image (C, H, W) with the op's uniforms."""
    return LOOPS


@pytest.fixture(scope="session")
def random_images() -> Callable[..., torch.Tensor]:
    """`random_images(n, channels, height, width)`: float64 normal deviates, the same at every call."""

    def make(n: int, channels: int, height: int, width: int) -> torch.Tensor:
        return torch.randn(n, channels, height, width, generator=generator(0, "images"), dtype=torch.float64)

    return make
