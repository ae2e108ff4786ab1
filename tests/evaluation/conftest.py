"""A problem of three classes that a small network learns, split in three, and a set to evaluate on it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from raydd.data import ArrayImages, DataSplits
from raydd.normalisation import Normalisation
from raydd.storage import DistilledSet

NORMALISATION = Normalisation((0.5,), (0.25,))


def stripes(per_class: int, seed: int) -> ArrayImages:
    """Grey 8 px images with noise: class 0 is light on the left, 1 on top, 2 in the middle."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 120, (3 * per_class, 1, 8, 8))
    labels = np.repeat(np.arange(3), per_class)
    pixels[labels == 0, :, :, :3] += 100
    pixels[labels == 1, :, :3, :] += 100
    pixels[labels == 2, :, 2:6, 2:6] += 100
    return ArrayImages(pixels.astype(np.uint8), labels)


def joined(train: ArrayImages, val: ArrayImages, test: ArrayImages) -> DataSplits:
    together = "".join(split.fingerprint for split in (train, val, test))
    return DataSplits(
        name="stripes",
        train=train,
        val=val,
        test=test,
        class_names=("left", "top", "middle"),
        normalisation=NORMALISATION,
        augmentation="color_crop_cutout_scale_rotate",
        split={"val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0, "image_size": 8},
        fingerprint=hashlib.sha256(together.encode()).hexdigest(),
    )


@pytest.fixture(scope="session")
def data() -> DataSplits:
    return joined(stripes(20, 0), stripes(12, 1), stripes(30, 2))


@pytest.fixture(scope="session")
def other_test(data: DataSplits) -> DataSplits:
    """The same train and val, and a test split of noise."""
    noise = np.random.default_rng(9).integers(0, 256, (90, 1, 8, 8), dtype=np.uint8)
    return joined(data.train, data.val, ArrayImages(noise, np.repeat(np.arange(3), 30)))


@pytest.fixture(scope="session")
def distilled(data: DataSplits) -> DistilledSet:
    """Four real training images a class."""
    indices = np.concatenate([np.arange(20 * c, 20 * c + 4) for c in range(3)])
    return DistilledSet(
        pixels=NORMALISATION.apply(data.train.take(indices)),
        targets=torch.arange(3).repeat_interleave(4),
        manifest={
            "schema": 2,
            "method": "real",
            "ipc": 4,
            "classes": 3,
            "channels": 1,
            "size": 8,
            "data": {"name": data.name, "fingerprint": data.fingerprint, "split": data.split},
            "normalisation": {"mean": [0.5], "std": [0.25]},
            "pixels": "normalised",
            "decode": {"kind": "identity"},
            "evaluation": {
                "protocol": "dsa",
                "net": "convnet",
                "epochs": 30,
                "augmentation": data.augmentation,
            },
        },
    )
