"""How a distilled set's stored pixels begin, and how they become the images that a network is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from raydd.errors import ArtifactError, ConfigError, DataError, unknown
from raydd.seeding import generator

if TYPE_CHECKING:
    from raydd.data import ImageData
    from raydd.normalisation import Normalisation

INITS = ("noise", "real")
IDENTITY = {"kind": "identity"}


def initial_images(
    data: ImageData, ipc: int, normalisation: Normalisation, seed: int, how: str = "real"
) -> torch.Tensor:
    """Synthetic images at iteration 0 (DM, main_DM.py: `--init real` or `noise`).

    Args:
        data: real images to draw from, without replacement, each class from its own stream.
        ipc: images per class, >= 1.
        normalisation: applied to real images; noise is N(0, 1) in normalised units already.
        seed: of the run.
        how: `real` or `noise`.

    Returns:
        float32, shape (classes * ipc, channels, size, size), normalised, class-major: all of class 0 first.

    Raises:
        DataError: a class has fewer than `ipc` images.
        ConfigError: `how` is neither `real` nor `noise`.
    """
    streams = [generator(seed, "initial", 0, class_) for class_ in range(data.classes)]
    if how == "noise":
        shape = (ipc, data.channels, data.size, data.size)
        return torch.cat([torch.randn(shape, generator=stream) for stream in streams])
    if how != "real":
        raise ConfigError(f"init: {unknown('initial images', how, INITS)}")
    counts = [data.count(class_) for class_ in range(data.classes)]
    if min(counts) < ipc:
        raise DataError(
            f"ipc is {ipc}, but class {counts.index(min(counts))} has {min(counts)} training images: "
            f"ipc may be at most {min(counts)} on this data"
        )
    drawn = [data.sample(class_, ipc, stream) for class_, stream in enumerate(streams)]
    return normalisation.apply(torch.cat(drawn))


def initial_labels(classes: int, ipc: int) -> torch.Tensor:
    """Labels of class-major images: int64, shape (classes * ipc,), 0 ... 0 1 ... 1 and so on."""
    return torch.arange(classes).repeat_interleave(ipc)


def check_decode(spec: Mapping[str, Any]) -> None:
    """Refuse a decode specification that this version cannot apply.

    Raises:
        ArtifactError: the specification is not `{"kind": "identity"}`.
    """
    if dict(spec) != IDENTITY:
        raise ArtifactError(
            f"decode specification {dict(spec)!r} is not {IDENTITY!r}, the one this version knows"
        )


def decode(images: torch.Tensor, spec: Mapping[str, Any]) -> torch.Tensor:
    """Stored pixels (N, C, H, W) to training images (N, C, H, W); the identity keeps them as they are.

    Raises:
        ArtifactError: see `check_decode`.
    """
    check_decode(spec)
    return images
