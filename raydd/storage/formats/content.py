"""`Content`: what a file or folder of another format holds, before it is known which data it was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from raydd import files
from raydd.errors import ArtifactError
from raydd.normalisation import Normalisation

if TYPE_CHECKING:
    from raydd.storage.distilled import DistilledSet

MANIFEST = "raydd.json"
"""File that a folder written by raydd has beside the format's own, so that it comes back whole."""


@dataclass(frozen=True, eq=False)
class Content:
    """Images and labels as another format holds them.

    Attributes:
        images: float32, shape (N, C, H, W), in any order of classes.
        pixels: `normalised`, or `unit`: pixels in [0, 1] as they are meant, which may leave that range.
        labels: int64, shape (N,); None where the format leaves them to the order of the images, class by class.
        logits: float, shape (N', classes), of the training images, one row each: logits or probabilities; or None.
        boxes: int64, shape (N, R, 3), see `DistilledSet`; or None.
        replay: float16, shape (E, N', classes), see `DistilledSet`; or None.
        class_names: in the order of the labels; None where the format has none.
        normalisation: of normalised pixels; None where the format has none.
        decode: how stored images become training images; None where the format does not say.
        manifest: of the set that raydd wrote, or None.
        facts: anything else that was found, JSON-able, such as `syn_lr`.
        notes: sentences for people about what was found.
    """

    images: torch.Tensor
    pixels: str
    labels: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    boxes: torch.Tensor | None = None
    replay: torch.Tensor | None = None
    class_names: tuple[str, ...] | None = None
    normalisation: Normalisation | None = None
    decode: Mapping[str, Any] | None = None
    manifest: dict[str, Any] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def tensor_of(value: Any, where: str) -> torch.Tensor:
    """A tensor, array of either byte order, or list of numbers as a tensor on the CPU.

    Raises:
        ArtifactError: it is none of these.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    try:
        array = np.asarray(value)
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))
    except (TypeError, ValueError):
        raise ArtifactError(f"{where} holds no numbers where an array of them is needed") from None


def images_of(value: Any, where: str) -> torch.Tensor:
    """`value` as images: float32, shape (N, C, S, S), on the CPU.

    Raises:
        ArtifactError: it is no such tensor or array, or holds what is not finite.
    """
    tensor = tensor_of(value, f"{where}: images")
    if (
        tensor.ndim != 4
        or not len(tensor)
        or tensor.shape[2] != tensor.shape[3]
        or tensor.shape[1] not in (1, 3)
    ):
        raise ArtifactError(
            f"{where} holds images of shape {tuple(tensor.shape)}; allowed is (N, 1 or 3, S, S) with N and S at least 1"
        )
    if not tensor.is_floating_point():
        raise ArtifactError(f"{where} holds {tensor.dtype} images; allowed are floating-point ones")
    images = tensor.to(torch.float32).contiguous()
    if not bool(images.isfinite().all()):
        raise ArtifactError(f"{where} holds images with NaN or infinite pixels")
    return images


def labels_of(value: Any, count: int, where: str) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """`value` as classes, int64 (N,), or as one row of logits or probabilities an image, float32 (N, classes).

    Raises:
        ArtifactError: it is neither, or not one for each of `count` images.
    """
    tensor = tensor_of(value, f"{where}: labels")
    if tensor.ndim == 1 and len(tensor) == count and not tensor.is_complex():
        classes = tensor.to(torch.int64)
        if not tensor.is_floating_point() or bool((classes == tensor).all()):
            return classes, None
    if tensor.ndim == 2 and len(tensor) == count and tensor.shape[1] > 1 and tensor.is_floating_point():
        if not bool(tensor.isfinite().all()):
            raise ArtifactError(f"{where} holds labels with NaN or infinite values")
        return None, tensor.to(torch.float32)
    raise ArtifactError(
        f"{where} holds {tensor.dtype} labels of shape {tuple(tensor.shape)}; allowed are {count} whole numbers, or "
        f"floating-point values of shape ({count}, classes)"
    )


def unit(distilled: DistilledSet) -> torch.Tensor:
    """The stored images of a set between 0 (black) and 1 (white), and beyond where they lie beyond."""
    if distilled.manifest["pixels"] == "unit":
        return distilled.pixels
    mean, std = (
        torch.tensor(each).view(-1, 1, 1)
        for each in (distilled.normalisation.mean, distilled.normalisation.std)
    )
    return distilled.pixels * std + mean


def manifest_in(folder: Path) -> dict[str, Any] | None:
    """The manifest that raydd left in a folder, if it did.

    Raises:
        ArtifactError: it cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return manifest_of(path.read_text())
    except (OSError, UnicodeDecodeError, ArtifactError):
        raise ArtifactError(f"{path} cannot be read as the manifest of a distilled set") from None


def manifest_of(text: str) -> dict[str, Any]:
    """A manifest from JSON.

    Raises:
        ArtifactError: it is none.
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "schema" not in found:
        raise ArtifactError("the manifest of raydd in it cannot be read")
    return found


def write_manifest(distilled: DistilledSet, folder: Path) -> None:
    """Leave a set's manifest in a folder that is being written."""
    files.write_json(folder / MANIFEST, distilled.manifest)
