"""Where pixels lie: in memory, or in a folder of .npy files that is mapped into memory."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from raydd.data.summary import Summary, summarise
from raydd.errors import DataError
from raydd.files import read_json


class ArrayStore:
    """Images held in memory; `summary` is computed when it is first asked for.

    Attributes:
        pixels: uint8 (N, C, S, S).
        labels: int64 (N,), in [0, classes).
        classes: number of classes, >= 1.
    """

    def __init__(self, pixels: np.ndarray, labels: np.ndarray, classes: int) -> None:
        self.pixels = pixels
        self.labels = labels
        self.classes = classes

    @functools.cached_property
    def summary(self) -> Summary:
        """Digests and sums of every image."""
        return summarise(self.pixels)


class MappedStore:
    """Images in a folder, read when they are touched and shared by all processes of a machine.

    The folder holds `pixels.npy`, `labels.npy`, `digests.npy`, `sums.npy` and `about.json`, as
    `raydd.data.decode` writes them. A store is pickled as its path.

    Raises:
        DataError: the folder is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.classes = len(read_json(path / "about.json")["classes"])
            self.labels = np.load(path / "labels.npy")
            # A plain array over the mapping: np.memmap's own indexing costs more than small reads.
            self.pixels = np.load(path / "pixels.npy", mmap_mode="r").view(np.ndarray)
            self.summary = Summary(
                np.load(path / "digests.npy", mmap_mode="r"), np.load(path / "sums.npy", mmap_mode="r")
            )
        except (OSError, ValueError, KeyError, EOFError) as error:
            if not path.is_dir():
                raise DataError(f"the decoded images in {path} are gone: load the data again") from None
            raise DataError(
                f"the decoded images in {path} are damaged ({error}): delete that folder and try again"
            ) from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MappedStore) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __reduce__(self) -> tuple[type[MappedStore], tuple[Path]]:
        return type(self), (self.path,)


Store = ArrayStore | MappedStore
