"""Catalog datasets through torchvision: downloaded and checked once, then kept in the cache of decoded images."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from raydd import vision
from raydd.data.catalog import DatasetInfo
from raydd.data.decode import Source, cached, write_arrays
from raydd.errors import DataError

# What torchvision's readers let through: no network, no permission, a wrong checksum, a file cut short.
_FAILURES = (OSError, HTTPException, RuntimeError, ValueError, TypeError, AssertionError, KeyError)
_DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Part:
    """One part of a dataset.

    Attributes:
        pixels: uint8 (N, C, S, S).
        labels: int64 (N,).
        class_names: in label order.
    """

    pixels: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class _Set:
    """How one dataset is asked for.

    Attributes:
        title: its name in sentences.
        reader: its class in `torchvision.datasets`.
        read: `read(reader, root, part)`, fetching what is not there.
        archives: address and md5 of every file that `reader` fetches.
        folder: where these files lie, under the root.
    """

    title: str
    reader: str
    read: Callable[[Any, Path, str], tuple[np.ndarray, Any, tuple[str, ...]]]
    archives: Callable[[Any], list[tuple[str, str]]]
    folder: str = ""


def read_torchvision(info: DatasetInfo, root: Path) -> Source:
    """Train and test images of a catalog dataset that torchvision fetches.

    Args:
        info: `cifar10`, `cifar100`, `fashionmnist`, `mnist` or `svhn`.
        root: where its files are looked for and downloaded to, if the cache does not have the images yet.

    Raises:
        DataError: the files are damaged, or not there and cannot be downloaded.
    """

    def write(folder: Path) -> None:
        parts = {part: fetch(info, root, part) for part in ("train", "test")}
        arrays = {name: (part.pixels, part.labels) for name, part in parts.items()}
        write_arrays(folder, arrays, parts["train"].class_names)

    return cached({"dataset": info.name}, write)


def fetch(info: DatasetInfo, root: Path, part: str) -> Part:
    """One part of a dataset, read by torchvision from the files that its authors publish.

    Args:
        info: the dataset, of those of `read_torchvision`.
        root: the folder of all datasets; files that are there and whole are not downloaded again.
        part: `train` or `test`.

    Raises:
        DataError: the files are damaged, or not there and cannot be downloaded.
    """
    wanted = _SETS[info.name]
    reader = getattr(vision.datasets(), wanted.reader)
    try:
        pixels, targets, class_names = wanted.read(reader, root, part)
        labels = np.asarray(targets, dtype=np.int64)
        _check(info, pixels, labels)
    except _FAILURES as error:
        raise _unreadable(wanted, reader, root, error) from None
    return Part(np.ascontiguousarray(pixels), labels, class_names)


def _read_cifar(reader: Any, root: Path, part: str) -> tuple[np.ndarray, Any, tuple[str, ...]]:
    dataset = reader(root, train=part == "train", download=True)
    return dataset.data.transpose(0, 3, 1, 2), dataset.targets, tuple(dataset.classes)


def _read_idx(reader: Any, root: Path, part: str) -> tuple[np.ndarray, Any, tuple[str, ...]]:
    dataset = reader(root, train=part == "train", download=True)
    # MNIST's classes are "0 - zero" and so on.
    names = tuple(name.split(" - ")[0] for name in dataset.classes)
    return dataset.data.numpy()[:, None], dataset.targets.numpy(), names


def _read_svhn(reader: Any, root: Path, part: str) -> tuple[np.ndarray, Any, tuple[str, ...]]:
    dataset = reader(root, split=part, download=True)
    return dataset.data, dataset.labels, _DIGITS


def _cifar_archives(reader: Any) -> list[tuple[str, str]]:
    return [(reader.url, reader.tgz_md5)]


def _idx_archives(reader: Any) -> list[tuple[str, str]]:
    return [(reader.mirrors[0] + name, md5) for name, md5 in reader.resources]


def _svhn_archives(reader: Any) -> list[tuple[str, str]]:
    # The third, `extra`, is no part of what this field's tables call SVHN.
    return [(url, md5) for url, _, md5 in (reader.split_list[part] for part in ("train", "test"))]


_SETS = {
    "cifar10": _Set("CIFAR-10", "CIFAR10", _read_cifar, _cifar_archives),
    "cifar100": _Set("CIFAR-100", "CIFAR100", _read_cifar, _cifar_archives),
    "fashionmnist": _Set("FashionMNIST", "FashionMNIST", _read_idx, _idx_archives, "FashionMNIST/raw"),
    "mnist": _Set("MNIST", "MNIST", _read_idx, _idx_archives, "MNIST/raw"),
    "svhn": _Set("SVHN", "SVHN", _read_svhn, _svhn_archives),
}


def _check(info: DatasetInfo, pixels: np.ndarray, labels: np.ndarray) -> None:
    if pixels.shape != (len(labels), info.channels, info.size, info.size):
        raise ValueError(f"{len(labels)} labels for images of shape {pixels.shape}")
    if not 0 <= labels.min() <= labels.max() < info.classes:
        raise ValueError(f"labels from {labels.min()} to {labels.max()} for {info.classes} classes")


def _whole(path: Path, md5: str) -> bool:
    try:
        return vision.datasets().utils.check_integrity(path, md5)
    except OSError:  # no permission to read it
        return False


def _unreadable(wanted: _Set, reader: Any, root: Path, error: BaseException) -> DataError:
    reason = (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
    folder = root / wanted.folder
    archives = wanted.archives(reader)
    # torchvision checks idx files before it unpacks them and never after: damaged, they would stay.
    if wanted.read is _read_idx and all(os.path.isfile(folder / Path(url).stem) for url, _ in archives):
        return DataError(
            f"{wanted.title} in {folder} is damaged ({reason}): delete {folder}/*-ubyte, "
            "and these files are fetched again"
        )
    missing = [(url, md5) for url, md5 in archives if not _whole(folder / Path(url).name, md5)] or archives
    download = ", ".join(f"{url} (md5 {md5})" for url, md5 in missing)
    files = Path(missing[0][0]).name if len(missing) == 1 else "them"
    return DataError(
        f"{wanted.title} is not in {folder} and could not be fetched ({reason}): "
        f"download {download} and put {files} into {folder}"
    )
