"""A smooth surface through scattered accuracies, only where there are trials near."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BANDWIDTH = 0.12  # of the unit square, in both directions
CELLS = 31


def surface(x: Sequence[float], y: Sequence[float], z: Sequence[float]) -> np.ndarray:
    """Kernel average of z on a grid over the unit square (Nadaraya and Watson, Gaussian kernel).

    Args:
        x, y: places in [0, 1], one a trial; others are taken as they are.
        z: accuracies, one a trial.

    Returns:
        float64, shape (CELLS, CELLS): row i is y = i / (CELLS - 1), column j is x; NaN farther than two bandwidths
        from every trial.
    """
    grid = np.linspace(0.0, 1.0, CELLS)
    columns, rows = np.meshgrid(grid, grid)
    points = np.stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)])
    squares = (columns[..., None] - points[0]) ** 2 + (rows[..., None] - points[1]) ** 2
    weights = np.exp(-squares / (2.0 * BANDWIDTH**2))
    total = weights.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = (weights * np.asarray(z, dtype=np.float64)).sum(axis=-1) / total
    found[squares.min(axis=-1) > (2.0 * BANDWIDTH) ** 2] = np.nan
    return found
