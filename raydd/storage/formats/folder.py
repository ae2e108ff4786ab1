"""`folder`: one folder of 8-bit images a class, which everything reads (torchvision's ImageFolder, `raydd --data`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from raydd import files
from raydd.errors import ArtifactError
from raydd.storage.formats.content import Content, images_of, manifest_in, unit, write_manifest

if TYPE_CHECKING:
    from PIL.Image import Image

    from raydd.storage.distilled import DistilledSet

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def read(path: Path, channels: int | None = None) -> Content:
    """The images of all class folders, in alphabetical order; so are the classes.

    Args:
        path: the folder, or the one above its `train`.
        channels: 1 (grey) or 3 (RGB); None is grey where all files are.

    Raises:
        ArtifactError: no class folders, no images, an image that cannot be read, or images of several sizes.
    """
    manifest = manifest_in(path)
    if not path.is_dir():
        raise ArtifactError(f"there is no folder {path}")
    # A `train` that holds images and no folders is a class called train.
    classes = _folders(path / "train") or _folders(path)
    found = [
        (each, sorted(file for file in each.rglob("*") if file.suffix.lower() in SUFFIXES))
        for each in classes
    ]
    if not any(pictures for _, pictures in found):
        raise ArtifactError(f"{path} holds no folders with images ({', '.join(SUFFIXES)})")
    pictures = [file for _, some in found for file in some]
    labels = torch.arange(len(found)).repeat_interleave(torch.tensor([len(some) for _, some in found]))
    return Content(
        images_of(
            pixels_of([opened(file) for file in pictures], [str(file) for file in pictures], channels),
            str(path),
        ),
        "unit",
        labels,
        class_names=tuple(each.name for each, _ in found),
        manifest=manifest,
    )


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))


def opened(file: Path) -> Image:
    """A picture, decoded.

    Raises:
        ArtifactError: it cannot be.
    """
    from PIL import Image

    try:
        with Image.open(file) as picture:
            picture.load()
            return picture.copy()
    except (OSError, ValueError, Image.DecompressionBombError):
        raise ArtifactError(f"{file} is not a whole picture") from None


def pixels_of(pictures: Sequence[Image], names: Sequence[str], channels: int | None) -> torch.Tensor:
    """Pictures as float32 in [0, 1], shape (N, C, S, S).

    Raises:
        ArtifactError: they are not of one square size.
    """
    if channels is None:
        channels = 1 if all(picture.mode in ("1", "L", "I;16") for picture in pictures) else 3
    side = pictures[0].size[0]
    for picture, name in zip(pictures, names):
        if picture.size != (side, side):
            raise ArtifactError(
                f"{name} is {picture.size[0]} x {picture.size[1]} pixels; all images of a set must be squares of one "
                f"size, such as {side} x {side}"
            )
    arrays = [np.asarray(picture.convert("L" if channels == 1 else "RGB")) for picture in pictures]
    together = torch.from_numpy(np.stack(arrays))
    planes = together.unsqueeze(1) if channels == 1 else together.permute(0, 3, 1, 2)
    return planes.to(torch.float32) / 255.0


def eight_bit(distilled: DistilledSet) -> tuple[np.ndarray, list[str]]:
    """The stored images as uint8, shape (N, H, W) or (N, H, W, 3), and a sentence on what that costs."""
    pixels = unit(distilled)
    outside = ((pixels < -0.5 / 255) | (pixels > 1 + 0.5 / 255)).float().mean().item()
    rounded = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    notes = ["pixels are rounded to 8 bits"]
    if outside:
        notes = [
            f"pixels are rounded to 8 bits, and the {100 * outside:.1f} % beyond black and white are cut off"
        ]
    array = rounded[:, 0] if rounded.shape[1] == 1 else rounded.permute(0, 2, 3, 1)
    return array.numpy(), notes


def folder_names(class_names: Sequence[str]) -> list[str]:
    """Names of class folders whose alphabetical order is the order of the labels."""
    plain = all(re.fullmatch(r"[\w][\w .()&,'+-]*", name) for name in class_names)
    if plain and sorted(set(class_names)) == list(class_names):
        return list(class_names)
    digits = len(str(max(len(class_names) - 1, 1)))
    return [
        f"{number:0{digits}d}-{re.sub(r'[^0-9A-Za-z_.-]+', '_', name)}".rstrip("-.")
        for number, name in enumerate(class_names)
    ]


def write(distilled: DistilledSet, path: Path) -> list[str]:
    """Write `<class>/<number>.png` for every image."""
    from PIL import Image

    arrays, notes = eight_bit(distilled)
    names = folder_names(
        [str(name) for name in distilled.manifest.get("class_names") or range(distilled.classes)]
    )
    with files.atomic_folder(path) as folder:
        for number, (label, array) in enumerate(zip(distilled.targets.tolist(), arrays)):
            place = folder / names[label] / f"{number % distilled.ipc:05d}.png"
            place.parent.mkdir(exist_ok=True)
            Image.fromarray(array).save(place)
        write_manifest(distilled, folder)
    return notes
