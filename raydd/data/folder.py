"""Folders of images, one folder a class: found, listed, and decoded into the cache. They are never written to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raydd.data import index
from raydd.data.decode import Source, opened, stored, write_files
from raydd.data.index import File, Listing, Stamp
from raydd.errors import DataError

PARTS = ("train", "val", "test")

# Looked at first, because asking Pillow for its whole list loads every plug-in.
_COMMON = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def read(path: Path, image_size: int | None, bounds: tuple[int, int], *, verify: bool = False) -> Source:
    """The images of a folder: `train/`, `test/`, `val/` with class folders inside, or class folders alone.

    Of the three only `train/` is needed; what is missing is left to be split off by seed. Class folders
    are taken in alphabetical order, and images lie in them at any depth. Hidden files, and files whose
    suffix no reader of Pillow knows, are passed over.

    Args:
        path: the folder.
        image_size: side in pixels to bring all images to (shorter side resized, longer cropped at the
            centre); None keeps theirs, which must then be one square size.
        bounds: smallest and largest side allowed where `image_size` is None.
        verify: look at every file, even where every directory and a sample of the files are as they were.

    Raises:
        DataError: the folder is missing, unreadable or not of this form, a class has no images or is
            missing from a part, or an image is damaged.
    """
    place = index.location(path, image_size)
    store = None if verify else index.recall(place, path)
    if store is not None:
        return opened(store)
    index.forget(place)
    listing = scan(path)
    roots, found = listing.roots, listing.files
    class_names = sorted(found["train"])

    def write(folder: Path) -> None:
        files, labels = {}, {}
        for part, classes in found.items():
            files[part] = [
                str(roots[part] / name / file[0]) for name in class_names for file in classes[name]
            ]
            labels[part] = np.repeat(
                np.arange(len(class_names)), [len(classes[name]) for name in class_names]
            )
        write_files(folder, files, labels, class_names, image_size, bounds)

    store = stored({"folder": str(path.resolve()), "files": found, "image_size": image_size}, write)
    source = opened(store)
    index.remember(place, path, listing, store)
    return source


def scan(path: Path) -> Listing:
    """List a folder; a tree without parts is `train`.

    Raises:
        DataError: see `read`.
    """
    begun = time.time_ns()
    seen: dict[Path, Stamp] = {}
    try:
        if not path.exists():
            raise DataError(f"there is no folder {path}")
        if not path.is_dir():
            raise DataError(f"{path} is a file: --data takes a folder with one folder of images a class")
        seen[path] = index.stamp(path)
        roots = _roots(path, seen)
        found = {
            part: {name: sorted(_images(root / name, seen)) for name in sorted(_folders(root, seen))}
            for part, root in roots.items()
        }
    except OSError as error:
        raise DataError(f"cannot read {error.filename}: {error.strerror}") from None
    _check(path, roots, found)
    return Listing(begun, roots, found, seen)


def _roots(path: Path, seen: dict[Path, Stamp]) -> dict[str, Path]:
    # A `train` folder that holds images and no folders is a class called train.
    if (path / "train").is_dir() and any(True for _ in _folders(path / "train", seen)):
        return {part: path / part for part in PARTS if (path / part).is_dir()}
    for name in _folders(path, seen):
        # A test set taken for a class would be trained on for hours before anybody wonders.
        if name.lower().startswith(PARTS) and not any(entry.is_file() for entry in (path / name).iterdir()):
            raise DataError(
                f"{path / name} looks like a part of the data and not like a class: name the parts train, test "
                "and, if there is one, val"
            )
    return {"train": path}


def _folders(path: Path, seen: dict[Path, Stamp]) -> Iterator[str]:
    # The stamp comes first: what changes while the entries are read then shows.
    seen.setdefault(path, index.stamp(path))
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith(".") and entry.name != "__MACOSX":
                yield entry.name


def _images(path: Path, seen: dict[Path, Stamp], prefix: str = "") -> Iterator[File]:
    seen.setdefault(path, index.stamp(path))
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            # A link to a folder is not followed here: it may lead back up.
            if entry.is_dir(follow_symlinks=False):
                yield from _images(path / entry.name, seen, f"{prefix}{entry.name}/")
            elif _is_image(entry.name):
                status = entry.stat()
                yield prefix + entry.name, status.st_size, status.st_mtime_ns


def _is_image(name: str) -> bool:
    lower = name.lower()
    if lower.endswith(_COMMON):
        return True
    suffix = os.path.splitext(lower)[1]
    if not suffix:
        return False
    from PIL import Image

    return Image.registered_extensions().get(suffix) in Image.OPEN


def _check(path: Path, roots: dict[str, Path], found: dict[str, dict[str, list[File]]]) -> None:
    train = found["train"]
    if len(train) < 2:
        folders = f"only one class folder ({next(iter(train))!r})" if train else "no class folders"
        raise DataError(
            f"{path} holds {folders}: expected one folder of images a class, or train/ and test/ with such folders"
        )
    for part, classes in found.items():
        for name in sorted(train.keys() ^ classes.keys()):
            here, there = (part, "train") if name in classes else ("train", part)
            raise DataError(f"class {name!r} is in {roots[here]} but missing from {roots[there]}")
        for name, files in classes.items():
            if not files:
                raise DataError(f"class {name!r} has no images in {roots[part] / name}")
