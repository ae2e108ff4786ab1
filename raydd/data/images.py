"""`ImageData`: the images of one split, found by class, in memory or memory-mapped."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raydd.data.store import ArrayStore, MappedStore, Store
from raydd.data.summary import mean_and_std
from raydd.errors import DataError

if TYPE_CHECKING:
    import torch


class ImageData:
    """Class-indexed images of one split: rows of a store. Nothing in it is ever written to.

    Attributes:
        channels: 1 (grey) or 3 (RGB).
        size: side of the square images, in pixels.
        classes: number of classes, those without an image in this split included.
        labels: int64 (N,), in [0, classes).
    """

    channels: int
    size: int
    classes: int
    labels: np.ndarray

    def __init__(self, store: Store, rows: np.ndarray) -> None:
        self._store = store
        self._rows = rows
        self.channels, self.size = store.pixels.shape[1:3]
        self.classes = store.classes
        self.labels = store.labels[rows]
        order = np.argsort(self.labels, kind="stable")
        bounds = np.searchsorted(self.labels[order], np.arange(self.classes + 1))
        self._by_class = [order[start:stop] for start, stop in pairwise(bounds)]

    def __len__(self) -> int:
        return len(self.labels)

    def count(self, class_: int) -> int:
        """Number of images of a class."""
        return len(self._by_class[class_])

    def sample(self, class_: int, n: int, generator: torch.Generator) -> torch.Tensor:
        """Random images of one class, without replacement.

        Args:
            class_: class index, in [0, classes).
            n: images wanted, >= 0; a class that has fewer gives all it has.
            generator: CPU generator; equal generators give equal images from every backend, and a smaller
                `n` gives the first images of a larger one.

        Returns:
            uint8 (min(n, count), C, S, S).
        """
        import torch

        members = self._by_class[class_]
        chosen = torch.randperm(len(members), generator=generator)[:n]
        return self.take(members[chosen.numpy()])

    def take(self, indices: np.ndarray | torch.Tensor | Sequence[int]) -> torch.Tensor:
        """The images at `indices`, in that order: uint8 (n, C, S, S), a copy."""
        import torch

        rows = self._rows[np.asarray(indices, dtype=np.int64)]
        return torch.from_numpy(np.take(self._store.pixels, rows, axis=0))

    def iterate(self, batch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All images in order, `batch` (>= 1) at a time: (uint8 (n, C, S, S), int64 (n,)); the last may be short."""
        import torch

        for start in range(0, len(self), batch):
            labels = self.labels[start : start + batch]
            yield self.take(np.arange(start, start + len(labels))), torch.from_numpy(labels.copy())

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Per-channel mean and standard deviation over all pixels, in units of the pixel range [0, 1].

        Raises:
            DataError: the split is empty.
        """
        if not len(self):
            raise DataError("an empty set of images has no mean and no standard deviation")
        return mean_and_std(self._store.summary.sums[self._rows], self.size**2)

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256 in hex over shape, every image's pixels and every label, in order; equal for all backends."""
        shape = (len(self), self.channels, self.size, self.classes)
        hasher = hashlib.sha256(repr(shape).encode())
        hasher.update(self._store.summary.digests[self._rows].tobytes())
        hasher.update(self.labels.astype("<i8").tobytes())
        return hasher.hexdigest()

    def subset(self, indices: np.ndarray | torch.Tensor | Sequence[int]) -> ImageData:
        """The images at `indices` as a set of their own, sharing the pixels."""
        return ImageData(self._store, self._rows[np.asarray(indices, dtype=np.int64)])

    def join(self, other: ImageData) -> ImageData:
        """The images of both: in the store's order where they share one, otherwise copied, these first.

        Raises:
            DataError: the two differ in channels, size or number of classes.
        """
        if self._store == other._store:
            return ImageData(self._store, np.sort(np.concatenate([self._rows, other._rows])))
        shapes = [(data.channels, data.size, data.classes) for data in (self, other)]
        if shapes[0] != shapes[1]:
            raise DataError(
                f"cannot join images of (channels, size, classes) {shapes[0]} with images of {shapes[1]}"
            )
        pixels = [np.take(data._store.pixels, data._rows, axis=0) for data in (self, other)]
        return ArrayImages(
            np.concatenate(pixels), np.concatenate([self.labels, other.labels]), classes=self.classes
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._store, _packed(self._rows))


class ArrayImages(ImageData):
    """Images in memory.

    Args:
        pixels: uint8 (N, C, S, S), C 1 or 3.
        labels: integers (N,), >= 0.
        classes: number of classes; None is the largest label + 1.

    Raises:
        DataError: a shape, a type or a label is not as above.
    """

    def __init__(
        self, pixels: np.ndarray, labels: np.ndarray | Sequence[int], classes: int | None = None
    ) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[2] != pixels.shape[3]:
            raise DataError(f"pixels must be uint8 of shape (N, C, S, S), got {pixels.dtype} {pixels.shape}")
        if pixels.shape[1] not in (1, 3):
            raise DataError(f"images must have 1 or 3 channels, got {pixels.shape[1]}")
        targets = np.asarray(labels, dtype=np.int64)
        if targets.shape != (len(pixels),):
            raise DataError(f"{len(pixels)} images need as many labels, got shape {targets.shape}")
        if classes is None:
            classes = int(targets.max(initial=0)) + 1
        if len(targets) and not 0 <= targets.min() <= targets.max() < classes:
            raise DataError(f"labels must lie in 0..{classes - 1}, got {targets.min()}..{targets.max()}")
        super().__init__(ArrayStore(pixels, targets, classes), np.arange(len(pixels)))


class MappedImages(ImageData):
    """Images in a folder of .npy files (see `MappedStore`), memory-mapped; pickled as the path and the rows.

    Args:
        path: the folder.
        indices: rows of the folder's images; None is all of them.

    Raises:
        DataError: the folder is missing or damaged.
    """

    def __init__(self, path: str | Path, indices: np.ndarray | Sequence[int] | None = None) -> None:
        store = MappedStore(Path(path))
        rows = np.arange(len(store.labels)) if indices is None else np.asarray(indices, dtype=np.int64)
        super().__init__(store, rows)


def _packed(rows: np.ndarray) -> tuple[bool, np.ndarray]:
    """Rows for a pickle: one bit a row of the store where they ascend (they do in every split)."""
    if len(rows) == 0 or np.any(rows[1:] <= rows[:-1]):
        return False, rows
    mask = np.zeros(int(rows[-1]) + 1, bool)
    mask[rows] = True
    return True, np.packbits(mask)


def _restore(store: Store, packed: tuple[bool, np.ndarray]) -> ImageData:
    is_mask, rows = packed
    return ImageData(store, np.flatnonzero(np.unpackbits(rows)) if is_mask else rows)
