from __future__ import annotations

import numpy as np
import pytest
import torch

from raydd import nets
from raydd.data import ArrayImages, DataSplits
from raydd.nets import Network
from raydd.normalisation import Normalisation
from raydd.registry import Context

torch.set_num_threads(1)  # threads of tiny tensors only wait for each other


def colours(counts: tuple[int, ...], seed: int) -> ArrayImages:
    """Noisy 8 px images; class c is bright in channel c."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    pixels = random.integers(0, 120, (len(labels), 3, 8, 8), dtype=np.uint8)
    pixels[np.arange(len(labels)), labels] += 100
    return ArrayImages(pixels, labels)


@pytest.fixture(scope="session")
def data() -> DataSplits:
    """20, 12 and 30 training images of three classes."""
    return DataSplits(
        name="colours",
        train=colours((20, 12, 30), 0),
        val=colours((4, 4, 4), 1),
        test=colours((5, 5, 5), 2),
        class_names=("red", "green", "blue"),
        normalisation=Normalisation((0.3, 0.4, 0.5), (0.2, 0.25, 0.3)),
        augmentation="color_crop_cutout_flip_scale_rotate",
        split={"split_seed": 0},
        fingerprint="f" * 64,
    )


@pytest.fixture(scope="session")
def pool() -> list[Network]:
    """Two untrained extractors."""
    return [
        nets.build(
            "resnet18-w4", channels=3, size=8, classes=3, generator=torch.Generator().manual_seed(seed)
        ).requires_grad_(False)
        for seed in (1, 2)
    ]


@pytest.fixture
def context() -> Context:
    """Four images per class."""
    return Context(
        "colours",
        channels=3,
        size=8,
        classes=3,
        ipc=4,
        iterations=20,
        augmentation="color_crop_cutout_flip_scale_rotate",
    )
