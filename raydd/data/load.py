"""`load_data`: a name or a folder in, train, validation and test out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raydd import files
from raydd.data.catalog import DSA, DatasetInfo, catalog
from raydd.data.decode import Source, cached, write_arrays
from raydd.data.digits import read_digits
from raydd.data.folder import read as read_folder
from raydd.data.images import ImageData
from raydd.data.splits import SMALL, DataSplits, joint_fingerprint, set_aside
from raydd.data.torchvision_sets import read_torchvision
from raydd.errors import ConfigError, DataError, unknown
from raydd.normalisation import Normalisation

if TYPE_CHECKING:
    from raydd.config import DataConfig

SIDES = (4, 1024)  # smallest and largest side of an image, in pixels


def load_data(
    name: str | DataConfig = "digits",
    *,
    root: str | Path | None = None,
    image_size: int | None = None,
    val_fraction: float | None = None,
    test_fraction: float | None = None,
    split_seed: int | None = None,
    verify: bool = False,
) -> DataSplits:
    """Load a dataset and split it; equal arguments and equal images give equal splits, whatever the study's seed.

    Where the data has no test set, `test_fraction` of every class is set aside first; then, where it has no
    validation set, `val_fraction` of what is left. Images of a folder are decoded once into
    `~/.cache/raydd/decoded` (`RAYDD_CACHE` moves `~/.cache/raydd`) and memory-mapped from then on.

    A folder that was loaded before is opened in milliseconds, by a look at every directory in it and at some
    500 of its files. An image file that was added, removed, renamed or replaced by another file is noticed, and
    the folder is then listed anew. What this look can miss is a file whose content was overwritten in place, and
    a change behind a symbolic link to a file: the old pixels are then returned. `verify=True` misses neither.

    Args:
        name: a catalog name (`raydd datasets`), a path to class-per-folder images (with a separator in it,
            such as `./images`), or a `DataConfig`, whose values the arguments below override.
        root: where catalog datasets are downloaded to; None is `RAYDD_DATA`, else `~/.cache/raydd/data`.
        image_size: side in pixels, 4 to 1024, that images are brought to; None keeps their own.
        val_fraction: share in (0, 1); None is 0.1, or 0.2 under 5,000 non-test images.
        test_fraction: share in (0, 1); None is 0.2.
        split_seed: seed of both splits; None is 0.
        verify: compare the size and modification time of every file of a folder with what was decoded (about
            a third of a second for 60,000 files); catalog datasets have nothing to compare.

    Raises:
        DataError: the dataset is unknown, missing, damaged or too small.
        ConfigError: an argument is out of range.
    """
    given: dict[str, Any] = {
        "root": root,
        "image_size": image_size,
        "val_fraction": val_fraction,
        "test_fraction": test_fraction,
        "split_seed": split_seed,
    }
    base: dict[str, Any] = {}
    if not isinstance(name, str):
        base = {key: getattr(name, key) for key in given}
        name = name.name
    values = {key: base.get(key) if value is None else value for key, value in given.items()}
    return _load(name, **_checked(values), verify=verify)


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    problems = []
    for key in ("val_fraction", "test_fraction"):
        value = values[key]
        if value is not None and not 0 < value < 1:
            problems.append(f"data.{key}: must lie between 0 and 1, both excluded, got {value!r}")
    size, (low, high) = values["image_size"], SIDES
    if size is not None and (not isinstance(size, int) or not low <= size <= high):
        problems.append(f"data.image_size: must be a whole number from {low} to {high}, got {size!r}")
    if problems:
        raise ConfigError(problems)
    root = values["root"] or os.environ.get("RAYDD_DATA") or "~/.cache/raydd/data"
    return {
        **values,
        "root": files.absolute(root),
        "test_fraction": 0.2 if values["test_fraction"] is None else values["test_fraction"],
        "split_seed": values["split_seed"] or 0,
    }


def _load(
    name: str,
    root: Path,
    image_size: int | None,
    val_fraction: float | None,
    test_fraction: float,
    split_seed: int,
    verify: bool,
) -> DataSplits:
    infos = {info.name: info for info in catalog()}
    if os.sep in name or name.startswith(("~", ".")):
        path = files.absolute(name)
        title, info = path.name or "images", None
        source = read_folder(path, image_size, SIDES, verify=verify)
    elif name in infos:
        title, info = name, infos[name]
        source = _read_catalog(info, root, image_size)
    else:
        raise DataError(
            f"{unknown('dataset', name, infos)}; a folder is written with a separator, as ./{name}"
        )

    split: dict[str, Any] = {"val_fraction": None, "test_fraction": None, "split_seed": split_seed}
    train = source.parts["train"]
    if "test" in source.parts:
        test = source.parts["test"]
    else:
        split["test_fraction"] = test_fraction
        train, test = set_aside(train, test_fraction, split_seed, "test", source.class_names)
    if "val" in source.parts:
        val = source.parts["val"]
    else:
        split["val_fraction"] = val_fraction or (0.2 if len(train) < SMALL else 0.1)
        train, val = set_aside(train, split["val_fraction"], split_seed, "validation", source.class_names)
    return DataSplits(
        name=title,
        train=train,
        val=val,
        test=test,
        class_names=source.class_names,
        normalisation=_normalisation(info, train),
        augmentation=info.augmentation if info else DSA,
        split={**split, "image_size": image_size},
        fingerprint=joint_fingerprint(train, val, test),
    )


def _read_catalog(info: DatasetInfo, root: Path, image_size: int | None) -> Source:
    def original() -> Source:
        return read_digits() if info.name == "digits" else read_torchvision(info, root)

    if image_size is None or image_size == info.size:
        return original()

    def write(folder: Path) -> None:
        source = original()
        resized = {part: (_resized(data, image_size), data.labels) for part, data in source.parts.items()}
        write_arrays(folder, resized, source.class_names)

    return cached({"dataset": info.name, "image_size": image_size}, write)


def _resized(data: ImageData, size: int) -> np.ndarray:
    from PIL import Image

    from raydd.data.decoder import to_square

    pixels = np.empty((len(data), data.channels, size, size), np.uint8)
    for start, (images, _) in zip(range(0, len(data), 512), data.iterate(512)):
        for row, image in enumerate(images.numpy(), start):
            picture = Image.fromarray(image[0] if data.channels == 1 else image.transpose(1, 2, 0))
            square = np.asarray(to_square(picture, size))
            pixels[row] = square if data.channels == 1 else square.transpose(2, 0, 1)
    return pixels


def _normalisation(info: DatasetInfo | None, train: ImageData) -> Normalisation:
    if info is not None and info.mean is not None and info.std is not None:
        return Normalisation(info.mean, info.std)
    mean, std = train.statistics()
    # A channel that never varies would otherwise be divided by zero.
    return Normalisation(mean, tuple(max(value, 1 / 255) for value in std))
