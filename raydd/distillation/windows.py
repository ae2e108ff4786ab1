"""Where the candidate regions of a stored image lie: sources, and windows within a source (UDD; docs/methods.md)."""

from __future__ import annotations

import torch

from raydd.errors import ConfigError, unknown

REGION_SOURCES = ("image", "sub_image")


def window_side(side: int, scale: float) -> int:
    """Side of a window in pixels: round(scale * side), at least 1 and at most `side`."""
    return min(side, max(1, round(scale * side)))


def windows(side: int, grid_size: int = 3, scales: float | tuple[float, ...] = 0.5) -> torch.Tensor:
    """Candidate windows within a source.

    n x n positions (n = `grid_size`), evenly spaced, the outer ones flush with the border: position i of a
    window of s px starts at round(i * (side - s) / (n - 1)); with n = 1 it is centred. A scale of 1/n tiles
    the source, a larger one overlaps. Windows that rounding makes equal are kept once, so that every
    candidate is another one.

    Args:
        side: of the source in pixels, >= 1.
        grid_size: n, >= 1.
        scales: side of the windows as a share of the source's, in (0, 1]; several pool their windows.

    Returns:
        int64, shape (M, 3), M <= n * n * number of scales: rows (y0, x0, side) in the source's pixels, scale
        by scale, each in row-major order.

    Raises:
        ConfigError: an argument is out of range.
    """
    scales = scales if isinstance(scales, tuple) else (scales,)
    if side < 1 or grid_size < 1:
        raise ConfigError(
            f"grid_size: needs a source of at least 1 px and n >= 1, got {side} and {grid_size}"
        )
    if not scales or not all(0.0 < scale <= 1.0 for scale in scales):
        raise ConfigError(f"region_scale: must be in (0, 1], or several such, got {scales}")
    found: dict[tuple[int, int, int], None] = {}
    for scale in scales:
        window = window_side(side, scale)
        room = side - window
        starts = [round(i * room / (grid_size - 1)) if grid_size > 1 else room // 2 for i in range(grid_size)]
        found.update(((y, x, window), None) for y in starts for x in starts)
    return torch.tensor(list(found), dtype=torch.int64)


def sources(size: int, factor: int = 1, region_source: str = "sub_image") -> torch.Tensor:
    """Squares of a stored image that windows are chosen in, a fixed number in each.

    `sub_image` gives the factor * factor cells of multi-formation, of ceil(size / factor) px, row-major; where
    `factor` does not divide `size`, the last ones are moved inwards and overlap their neighbours. `image` gives
    the stored image as one source, whose windows may straddle cells.

    Args:
        size: side of the stored image in pixels.
        factor: of multi-formation, 1 to `size`.
        region_source: `sub_image` or `image`.

    Returns:
        int64, shape (S, 3): rows (y0, x0, side) in stored pixels, of one side.

    Raises:
        ConfigError: an argument is out of range.
    """
    if region_source not in REGION_SOURCES:
        raise ConfigError(f"region_source: {unknown('source', region_source, REGION_SOURCES)}")
    if not 1 <= factor <= size:
        raise ConfigError(f"factor: must be 1 to {size} on images of {size} px, got {factor}")
    if region_source == "image":
        return torch.tensor([[0, 0, size]])
    side = -(-size // factor)
    starts = [min(i * side, size - side) for i in range(factor)]
    return torch.tensor([[y, x, side] for y in starts for x in starts])
