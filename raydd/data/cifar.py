"""CIFAR-10 through torchvision: downloaded and checked once, then kept in the cache of decoded images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from raydd import vision
from raydd.data.decode import Source, cached, write_arrays
from raydd.errors import DataError

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read_cifar10(root: Path) -> Source:
    """Train and test images of CIFAR-10, 50,000 and 10,000.

    Args:
        root: where the archive is looked for and downloaded to, if the cache does not have the images yet.

    Raises:
        DataError: the archive is not there and cannot be downloaded.
    """

    def write(folder: Path) -> None:
        reader = vision.datasets().CIFAR10
        write_arrays(folder, {part: fetch(reader, root, part) for part in ("train", "test")}, NAMES)

    return cached({"dataset": "cifar10"}, write)


def fetch(reader: Any, root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 (N, 3, 32, 32) and labels int64 (N,) of one part.

    Args:
        reader: `torchvision.datasets.CIFAR10`, or a class derived from it.
        root: the dataset's folder; files that are there and whole are not downloaded again.
        part: `train` or `test`.

    Raises:
        DataError: the archive is not there and cannot be downloaded, or is damaged.
    """
    try:
        dataset = reader(root, train=part == "train", download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"CIFAR-10 is not in {root} and could not be fetched ({reason.rstrip('.')}): download {reader.url} "
            f"(md5 {reader.tgz_md5}) and put {reader.filename} into {root}"
        ) from None
    pixels = np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2))
    return pixels, np.asarray(dataset.targets, dtype=np.int64)
