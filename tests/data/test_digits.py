from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from raydd.data.digits import read_digits


def test_digits_are_scikit_learns_scaled_to_eight_bits():
    source = read_digits()
    images = source.parts["train"]
    assert source.parts.keys() == {"train"}
    assert source.class_names == tuple("0123456789")
    assert (len(images), images.channels, images.size, images.classes) == (1797, 1, 8, 10)
    original = load_digits()
    assert images.labels.tolist() == original.target.tolist()
    pixels = images.take(range(1797)).numpy()[:, 0]
    expected = [[[round(v * 255 / 16) for v in row] for row in image] for image in original.images[:50]]
    assert pixels[:50].tolist() == expected
    assert np.unique(pixels).tolist() == [round(v * 255 / 16) for v in range(17)]
