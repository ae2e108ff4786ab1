"""`DataSplits`: train, validation and test of one dataset, and how the latter two are set aside."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raydd.data.images import ImageData
from raydd.errors import DataError
from raydd.normalisation import Normalisation
from raydd.seeding import generator

SMALL = 5_000  # non-test images under which a tenth would be too few for validation


@dataclass(frozen=True)
class DataSplits:
    """Everything that a study knows of its data.

    Attributes:
        name: catalog name, or a folder's own name.
        train: the only images that anything learns from.
        val: what the search is judged on.
        test: read by the report alone.
        class_names: one a class, in label order.
        normalisation: published constants, or the statistics of `train`.
        augmentation: DSA strategy that suits the images.
        split: how the split was made, JSON-able: `val_fraction` and `test_fraction` (None where the data
            brought that split along), `split_seed`, `image_size` (None where the images kept their size).
        fingerprint: sha256 in hex over the fingerprints of the three splits.
    """

    name: str
    train: ImageData
    val: ImageData
    test: ImageData
    class_names: tuple[str, ...]
    normalisation: Normalisation
    augmentation: str
    split: dict[str, Any]
    fingerprint: str

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        return self.train.channels

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.train.size

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.train.classes

    def train_and_val(self) -> DataSplits:
        """The same data with the validation images among the training images as well; same fingerprint."""
        return replace(self, train=self.train.join(self.val))

    def describe_validation(self) -> str:
        """Size of the validation set and what it can resolve, as one line for people.

        The standard error of an accuracy p over n images is sqrt(p (1 - p) / n), largest at p = 1/2.
        """
        points = 100 * math.sqrt(0.25 / len(self.val))
        return (
            f"validation: {len(self.val):,} images of {self.classes} classes; one accuracy has a standard "
            f"error of about {points:.1f} points at 50 %"
        )


def joint_fingerprint(*splits: ImageData) -> str:
    """sha256 in hex over the fingerprints of `splits`, in order."""
    return hashlib.sha256("".join(data.fingerprint for data in splits).encode()).hexdigest()


def set_aside(
    data: ImageData, fraction: float, seed: int, purpose: str, class_names: Sequence[str]
) -> tuple[ImageData, ImageData]:
    """Split `data` in two, stratified: `fraction` of its images, and of every class, goes to the second.

    Every class keeps at least one image in both. The split depends on the labels' order, `fraction`, `seed`
    and `purpose` only.

    Raises:
        DataError: a class has fewer than two images.
    """
    import torch

    counts = np.bincount(data.labels, minlength=len(class_names))
    for name, count in zip(class_names, counts):
        if count < 2:
            raise DataError(
                f"class {name!r} has too few images to set some aside for {purpose}: {count} left, needs 2"
            )
    aside = np.zeros(len(data), bool)
    for class_, wanted in enumerate(_quotas(counts, fraction)):
        members = np.flatnonzero(data.labels == class_)
        order = torch.randperm(len(members), generator=generator(seed, f"split/{purpose}", 0, class_))
        aside[members[order[:wanted].numpy()]] = True
    return data.subset(np.flatnonzero(~aside)), data.subset(np.flatnonzero(aside))


def _quotas(counts: np.ndarray, fraction: float) -> list[int]:
    """`fraction` of every class, rounded so that the sum is right too: the largest remainders are rounded up."""
    exact = np.round(fraction * counts, 9)  # 0.1 * 30 is a little more than 3
    quotas = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(quotas.sum())
    quotas[np.argsort(quotas - exact, kind="stable")[:missing]] += 1
    return np.clip(quotas, 1, counts - 1).tolist()
