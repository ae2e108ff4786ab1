"""Cells: a stored image cut into factor x factor parts, each enlarged to a whole image."""

from __future__ import annotations

import torch
import torch.nn.functional as F

PADS = {"normalised": 0.0, "unit": 0.5}
"""Kinds of stored pixels, and what cells that reach beyond the image are filled with: the mean colour, or grey."""


def cell_side(size: int, factor: int) -> int:
    """Side of a cell in pixels: size / factor, rounded up (the last cells then reach into the padding)."""
    return -(-size // factor)


def cell_views(pixels: torch.Tensor, factor: int, pad: float = 0.0) -> torch.Tensor:
    """Every cell of every image at full size (IDC, condense.py `decode_zoom`; IDM, dc_utils.py L1128-1137).

    Where `factor` does not divide the size, the right and the bottom are padded up to the next multiple.
    Cells are enlarged bilinearly (align_corners False). Differentiable in `pixels`.

    Args:
        pixels: float, shape (N, C, H, W).
        factor: cells along each side, >= 1; 1 gives the images themselves, bit for bit.
        pad: value of the padding, see `PADS`.

    Returns:
        Shape (N, factor^2, C, H, W), the cells of an image row by row.
    """
    if factor == 1:
        return pixels.unsqueeze(1)
    height, width = pixels.shape[-2:]
    rows, columns = cell_side(height, factor), cell_side(width, factor)
    padded = F.pad(pixels, (0, factor * columns - width, 0, factor * rows - height), value=pad)
    cells = padded.unflatten(3, (factor, columns)).unflatten(2, (factor, rows)).permute(0, 2, 4, 1, 3, 5)
    whole = F.interpolate(cells.flatten(0, 2), size=(height, width), mode="bilinear", align_corners=False)
    return whole.unflatten(0, (-1, factor**2))
