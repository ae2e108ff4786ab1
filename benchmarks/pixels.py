"""Images to measure with where no folder is given: a coarse pattern for each class, shifted and noisy."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def images(classes: int, per_class: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Class-major RGB images.

    Args:
        classes: how many.
        per_class: images of each.
        size: side in pixels, a multiple of 4.
        seed: of shifts and noise; the patterns are the same for all seeds.

    Returns:
        uint8 (classes * per_class, 3, size, size) and int64 (classes * per_class,).
    """
    random = np.random.default_rng((1, seed))
    coarse = np.random.default_rng(0).integers(40, 216, (classes, 3, 4, 4))
    patterns = coarse.repeat(size // 4, axis=2).repeat(size // 4, axis=3)
    labels = np.arange(classes).repeat(per_class)
    pixels = np.empty((len(labels), 3, size, size), np.uint8)
    for i, label in enumerate(labels):
        shifted = np.roll(patterns[label], random.integers(0, size, 2), axis=(1, 2))
        noise = random.integers(-60, 61, (3, size, size))
        pixels[i] = np.clip(shifted + noise, 0, 255)
    return pixels, labels


def write_folder(root: Path, classes: int, per_class: int, test_per_class: int, size: int) -> None:
    """`train/<class>/NNNN.jpg` and `test/<class>/NNNN.jpg` under `root`."""
    from PIL import Image

    for part, count, seed in (("train", per_class, 0), ("test", test_per_class, 1)):
        pixels, labels = images(classes, count, size, seed)
        for i, (picture, label) in enumerate(zip(pixels, labels)):
            folder = root / part / f"class{label}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.transpose(1, 2, 0)).save(folder / f"{i % count:04d}.jpg", quality=90)
