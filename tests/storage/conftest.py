from __future__ import annotations

import numpy as np
import pytest
import torch

from raydd.data import ArrayImages, DataSplits
from raydd.normalisation import Normalisation

torch.set_num_threads(1)  # threads of tiny tensors only wait for each other


def colours(count: int, seed: int) -> ArrayImages:
    """`count` noisy 8 px images of each of 3 classes: class c is bright in channel c."""
    random = np.random.default_rng(seed)
    labels = np.arange(3).repeat(count)
    pixels = random.integers(0, 120, (len(labels), 3, 8, 8), dtype=np.uint8)
    pixels[np.arange(len(labels)), labels] += 100
    return ArrayImages(pixels, labels)


@pytest.fixture
def data() -> DataSplits:
    train, val, test = colours(20, 0), colours(5, 1), colours(5, 2)
    return DataSplits(
        name="colours",
        train=train,
        val=val,
        test=test,
        class_names=("red", "green", "blue"),
        normalisation=Normalisation((0.3, 0.4, 0.5), (0.2, 0.25, 0.3)),
        augmentation="color_crop_cutout_flip_scale_rotate",
        split={"val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0, "image_size": None},
        fingerprint="f" * 64,
    )
