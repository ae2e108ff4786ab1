"""scikit-learn's handwritten digits: 1797 grey images of 8x8 pixels, no test set of their own."""

from __future__ import annotations

import numpy as np

from raydd.data.decode import Source
from raydd.data.images import ArrayImages


def read_digits() -> Source:
    """All digits as one part; their 17 levels 0..16 become round(255 v / 16)."""
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    pixels = np.rint(values * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return Source({"train": ArrayImages(pixels, labels)}, tuple("0123456789"))
