"""`npz`: NumPy arrays, the one format besides raydd's own that holds all of a set but a teacher's weights.

`images` float32 (N, C, H, W), `labels` int64 (N,), `mean` and `std` (C,) where the images are normalised; and, where
the set has them, `logits` (N', classes), `replay` and `boxes`, and the texts `pixels` (`unit` or `normalised`),
`class_names` and `manifest` (JSON). Files of others need `images` and `labels` alone: float ones in [0, 1] or 8-bit
ones are pixels, and those with `mean` and `std` are normalised by them. No array of objects is read, so no pickle.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from raydd import files
from raydd.errors import ArtifactError
from raydd.normalisation import Normalisation
from raydd.storage.formats.content import Content, images_of, labels_of, manifest_of, tensor_of

if TYPE_CHECKING:
    from raydd.storage.distilled import DistilledSet


def read(path: Path) -> Content:
    """The arrays.

    Raises:
        ArtifactError: the file is missing, damaged or of another kind, or has arrays of objects.
    """
    arrays = _arrays(path)
    if "images" not in arrays:
        raise ArtifactError(
            f"{path} has no array called images; it has {', '.join(sorted(arrays)) or 'none'}"
        )
    raw = arrays["images"]
    if raw.dtype == np.uint8:
        if raw.ndim == 4 and raw.shape[1] not in (1, 3) and raw.shape[3] in (1, 3):
            raw = np.moveaxis(raw, 3, 1)
        raw = raw.astype(np.float32) / np.float32(255)
        kind = "unit"
    else:
        kind = str(arrays["pixels"]) if "pixels" in arrays else "normalised" if "mean" in arrays else "unit"
    images = images_of(raw, str(path))
    labels, logits = (
        labels_of(arrays["labels"], len(images), str(path)) if "labels" in arrays else (None, None)
    )
    extra: dict[str, torch.Tensor] = {
        name: tensor_of(arrays[name], f"{path}: {name}")
        for name in ("logits", "boxes", "replay", "mean", "std")
        if name in arrays
    }
    logits = extra.get("logits", logits)
    if kind == "unit" and not 0 <= images.min() <= images.max() <= 1 and "pixels" not in arrays:
        low, high = images.min().item(), images.max().item()
        raise ArtifactError(
            f"{path} holds images in [{low:g}, {high:g}], which are no pixels in [0, 1]; normalised ones need the "
            "arrays mean and std beside them"
        )
    return Content(
        images,
        kind,
        labels,
        logits,
        boxes=extra.get("boxes"),
        replay=extra.get("replay"),
        class_names=tuple(map(str, arrays["class_names"])) if "class_names" in arrays else None,
        normalisation=_normalisation(extra, images.shape[1], path) if {"mean", "std"} & set(extra) else None,
        manifest=manifest_of(str(arrays["manifest"])) if "manifest" in arrays else None,
    )


def _normalisation(arrays: dict[str, torch.Tensor], channels: int, path: Path) -> Normalisation:
    mean, std = (arrays.get(name, torch.empty(0)).to(torch.float64).flatten() for name in ("mean", "std"))
    if not len(mean) == len(std) == channels or not bool(
        (mean.isfinite() & std.isfinite() & (std > 0)).all()
    ):
        raise ArtifactError(
            f"{path} holds mean {mean.tolist()} and std {std.tolist()}; images of {channels} channels need {channels} "
            "of each, and std above 0"
        )
    return Normalisation(tuple(mean.tolist()), tuple(std.tolist()))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise ArtifactError(f"there is no file {path}")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise ArtifactError(
                f"{path} holds pickled objects, and reading them would run code from the file; save plain arrays"
            ) from None
        raise ArtifactError(f"{path} is not a whole npz file") from None
    except (OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError):
        raise ArtifactError(f"{path} is not a whole npz file") from None


def write(distilled: DistilledSet, path: Path) -> list[str]:
    """Write all of the set but a teacher's weights."""
    stored: dict[str, Any] = {
        "images": distilled.pixels.numpy(),
        "labels": distilled.targets.numpy(),
        "pixels": np.array(distilled.manifest["pixels"]),
        "mean": np.array(distilled.normalisation.mean),
        "std": np.array(distilled.normalisation.std),
        "manifest": np.array(files.canonical_json(distilled.manifest)),
    }
    if distilled.manifest.get("class_names"):
        stored["class_names"] = np.array([str(name) for name in distilled.manifest["class_names"]])
    for name in ("logits", "replay", "boxes"):
        tensor = getattr(distilled, name)
        if tensor is not None:
            stored[name] = tensor.numpy()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **stored)
    files.write_bytes(path, buffer.getvalue())
    spec = distilled.manifest["decode"]
    if spec["kind"] == "identity" and distilled.boxes is None:
        return []
    return [
        "images are those stored, before decoding, which the manifest describes; --decoded writes what is trained on"
    ]
