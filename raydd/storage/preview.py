"""The preview of a distilled set: a grid of images that a person can look at."""

from __future__ import annotations

import io

import numpy as np
import torch

TILE = 64  # pixels: smaller images are enlarged to about this side
GAP = 2
MAX_ROWS = 100


def preview_grid(pixels: torch.Tensor, labels: torch.Tensor, per_class: int = 10) -> np.ndarray:
    """One row per class, for people.

    Args:
        pixels: float, in [0, 1], shape (N, 1 or 3, H, W); other channel counts show their first channel.
        labels: int64, shape (N,).
        per_class: images in a row, at most.

    Returns:
        uint8, shape (height, width, 3). Small images are enlarged by a whole factor with nearest
        neighbours, tiles are parted by white lines, and only the first 100 classes are shown.
    """
    channels, side = pixels.shape[1], pixels.shape[-1]
    eight_bit = (pixels * 255.0).round().to(torch.uint8).numpy()
    if channels != 3:
        eight_bit = eight_bit[:, :1].repeat(3, axis=1)
    scale = max(1, TILE // side)
    tiles = eight_bit.transpose(0, 2, 3, 1).repeat(scale, axis=1).repeat(scale, axis=2)

    classes = torch.unique(labels)[:MAX_ROWS]
    rows = [torch.nonzero(labels == class_).flatten()[:per_class].tolist() for class_ in classes]
    pitch = side * scale + GAP
    grid = np.full((len(rows) * pitch + GAP, max(map(len, rows)) * pitch + GAP, 3), 255, dtype=np.uint8)
    for row, members in enumerate(rows):
        for column, index in enumerate(members):
            top, left = row * pitch + GAP, column * pitch + GAP
            grid[top : top + pitch - GAP, left : left + pitch - GAP] = tiles[index]
    return grid


def png(grid: np.ndarray) -> bytes:
    """A uint8 grid (height, width, 3) as the bytes of a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(grid).save(buffer, format="PNG")
    return buffer.getvalue()
