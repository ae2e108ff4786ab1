"""`idc`: IDC's `data.pt`, a list [images, labels] of stored images in [0, 1].

The images are cut up and enlarged when a network is trained on them. By which factor, and whether at all factors up to
it, stands in IDC's command line (`--factor`, `--decode_type`) and not in the file (Efficient-Dataset-Condensation,
condense.py and test.py).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from raydd import files
from raydd.errors import ArtifactError
from raydd.storage.formats.content import Content, images_of, labels_of, unit
from raydd.storage.formats.weights_only import load

if TYPE_CHECKING:
    from raydd.storage.distilled import DistilledSet


RANGE = (-1.0, 2.0)
"""Beyond it images are not taken for pixels in [0, 1] unless one says so; distilled ones may leave [0, 1] a little."""


def is_content(value: Any) -> bool:
    """Whether a loaded file is of this format."""
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(each, torch.Tensor) for each in value)
    )


def check_range(images: torch.Tensor, path: Path) -> None:
    """Refuse images that are hardly IDC's: others keep normalised images, or 0 to 255, in the same kind of list.

    Raises:
        ArtifactError: they leave `RANGE`.
    """
    if not images.is_floating_point() or not images.numel():
        return  # `read` says what is wrong
    low, high = images.min().item(), images.max().item()
    if low < RANGE[0] or high > RANGE[1]:
        raise ArtifactError(
            f"{path} holds [images, labels] with images in [{low:g}, {high:g}], and IDC's are pixels in [0, 1]; save "
            "normalised ones as npz, with the arrays mean and std beside images and labels, or say with --from idc "
            "that they are pixels which lie so far beyond black and white"
        )


def read(path: Path) -> Content:
    """The stored images.

    Raises:
        ArtifactError: the file is no such file.
    """
    value = load(path)
    if not is_content(value):
        raise ArtifactError(f"{path} is no data.pt of IDC: it is not [images, labels]")
    images = images_of(value[0], str(path))
    labels, logits = labels_of(value[1], len(images), str(path))
    return Content(images, "unit", labels, logits)


def write(distilled: DistilledSet, path: Path) -> list[str]:
    """Write the stored images; returns what IDC's command line has to say of them."""
    buffer = io.BytesIO()
    torch.save([unit(distilled), distilled.targets], buffer)
    files.write_bytes(path, buffer.getvalue())
    spec = distilled.manifest["decode"]
    if spec["kind"] == "identity":
        return ["IDC's test.py takes --factor 1 for it"]
    return [f"IDC's test.py takes --factor {spec['factor']} --decode_type {spec['form']} for it"]
