from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

torch.set_num_threads(1)  # threads of tiny tensors only wait for each other


def enlarge(crop: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear enlargement (C, h, w) to (C, height, width), pixel centres at halves, written from the formula."""
    channels, rows, columns = crop.shape
    out = np.zeros((channels, height, width))
    for i in range(height):
        y = max(0.0, (i + 0.5) * rows / height - 0.5)
        top, fy = math.floor(y), y - math.floor(y)
        bottom = min(top + 1, rows - 1)
        for j in range(width):
            x = max(0.0, (j + 0.5) * columns / width - 0.5)
            left, fx = math.floor(x), x - math.floor(x)
            right = min(left + 1, columns - 1)
            out[:, i, j] = (1 - fy) * ((1 - fx) * crop[:, top, left] + fx * crop[:, top, right])
            out[:, i, j] += fy * ((1 - fx) * crop[:, bottom, left] + fx * crop[:, bottom, right])
    return out


@pytest.fixture
def enlarged() -> Callable[[np.ndarray, int, int], np.ndarray]:
    return enlarge
