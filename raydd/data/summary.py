"""A few numbers per image from which fingerprints and statistics of any split follow without its pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

_BLOCK_BYTES = 2**22  # one block of pixels and its float64 copy stay near the caches


@dataclass(frozen=True)
class Summary:
    """One row an image.

    Attributes:
        digests: uint8 (N, 32), sha256 of the image's pixels.
        sums: int64 (N, 2, C), per channel the sum of the 8-bit values and the sum of their squares.
    """

    digests: np.ndarray
    sums: np.ndarray


def block_length(shape: tuple[int, ...]) -> int:
    """Images of `shape` (N, C, H, W) that make up one block, >= 1."""
    return max(1, _BLOCK_BYTES // int(np.prod(shape[1:])))


def summarise(pixels: np.ndarray) -> Summary:
    """Summary of uint8 pixels (N, C, H, W), computed in blocks."""
    count, channels = pixels.shape[:2]
    digests = np.empty((count, 32), np.uint8)
    sums = np.empty((count, 2, channels), np.int64)
    step = block_length(pixels.shape)
    for start in range(0, count, step):
        block = np.ascontiguousarray(pixels[start : start + step])
        for row, image in enumerate(block, start):
            digests[row] = np.frombuffer(hashlib.sha256(image.data).digest(), np.uint8)
        # float64 holds these sums exactly: 255^2 * H * W < 2^53.
        values = block.reshape(len(block), channels, -1).astype(np.float64)
        sums[start : start + step, 0] = values.sum(axis=2)
        sums[start : start + step, 1] = np.einsum("ncp,ncp->nc", values, values)
    return Summary(digests, sums)


def mean_and_std(sums: np.ndarray, positions: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per-channel mean and standard deviation, in units of the pixel range [0, 1].

    Args:
        sums: `Summary.sums` of the images in question, (N, 2, C), N >= 1.
        positions: pixels per image and channel, H * W.
    """
    first, second = sums.sum(axis=0).astype(np.float64) / (len(sums) * positions)
    variance = np.maximum(second - first**2, 0.0)
    return tuple((first / 255).tolist()), tuple((np.sqrt(variance) / 255).tolist())
