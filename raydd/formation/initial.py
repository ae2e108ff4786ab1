"""Synthetic images and labels at iteration 0."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from raydd.errors import ConfigError, DataError, unknown
from raydd.seeding import generator

if TYPE_CHECKING:
    from raydd.data import ImageData
    from raydd.normalisation import Normalisation

INITS = ("mix", "noise", "real")
RESIZES = ("bilinear", "nearest")


def initial_images(
    data: ImageData,
    ipc: int,
    normalisation: Normalisation | None,
    seed: int,
    how: str = "real",
    *,
    factor: int = 1,
    resize: str = "nearest",
) -> torch.Tensor:
    """Synthetic images at iteration 0.

    `real` are whole real images (DM, main_DM.py `--init real`; IDC-I). `mix` fills each of the factor x factor
    cells of a stored image with another real image of its class, made small (IDC, condense.py `--init mix`;
    IDM, IDM_cifar10.py `--aug`). `noise` is N(0, 1) in normalised units (DM), and N(1/2, 1/4^2) clamped to
    [0, 1] in unit pixels (IDC).

    Real images are drawn without replacement, each class from its own stream: for `mix` all ipc * factor^2
    of a class are different where it has so many, else those of each cell position. The first cell shows the
    images that `real` would give. (IDC's authors take the first images of each class instead of random ones.)

    Args:
        data: real images to draw from.
        ipc: images per class, >= 1.
        normalisation: of the result; None gives pixels in [0, 1].
        seed: of the run.
        how: `real`, `noise` or `mix`.
        factor: of `mix`: cells along each side, in [1, size]; the first size % factor rows and columns of cells
            are one pixel larger than the rest. `real` and `noise` have no cells.
        resize: of `mix`: `nearest` (IDC) or `bilinear` without antialiasing (IDM), in the units of the result.

    Returns:
        float32, shape (classes * ipc, channels, size, size), class-major: all of class 0 first.

    Raises:
        DataError: a class has fewer than `ipc` images.
        ConfigError: `how`, `factor` or `resize` is not allowed.
    """
    if how not in INITS:
        raise ConfigError(f"init: {unknown('initial images', how, INITS)}")
    if resize not in RESIZES:
        raise ConfigError(f"resize: {unknown('way of resizing', resize, RESIZES)}")
    if not 1 <= factor <= data.size:
        raise ConfigError(f"factor: must lie in 1..{data.size}, the images' side in pixels, got {factor}")
    streams = [generator(seed, "initial", 0, class_) for class_ in range(data.classes)]
    if how == "noise":
        shape = (ipc, data.channels, data.size, data.size)
        noise = torch.cat([torch.randn(shape, generator=stream) for stream in streams])
        return (noise / 4 + 0.5).clamp(0.0, 1.0) if normalisation is None else noise
    counts = [data.count(class_) for class_ in range(data.classes)]
    if min(counts) < ipc:
        raise DataError(
            f"ipc is {ipc}, but class {counts.index(min(counts))} has {min(counts)} training images: "
            f"ipc may be at most {min(counts)} on this data"
        )
    cells = factor**2 if how == "mix" else 1
    classes = []
    for class_, stream in enumerate(streams):
        if counts[class_] >= cells * ipc:
            drawn = data.sample(class_, cells * ipc, stream)
        else:
            drawn = torch.cat([data.sample(class_, ipc, stream) for _ in range(cells)])
        images = drawn.to(torch.float32) / 255.0 if normalisation is None else normalisation.apply(drawn)
        classes.append(images if cells == 1 else _mixed(images, factor, resize))
    together = torch.cat(classes)
    return together.clamp(0.0, 1.0) if normalisation is None else together  # resizing may round beyond 1


def _mixed(images: torch.Tensor, factor: int, resize: str) -> torch.Tensor:
    """Images (factor^2 * ipc, C, S, S) into (ipc, C, S, S): the first `ipc` of them become the first cells."""
    size = images.shape[-1]
    short, longer = divmod(size, factor)
    edges = list(accumulate([short + (cell < longer) for cell in range(factor)], initial=0))
    mixed = images.new_empty(len(images) // factor**2, *images.shape[1:])
    for cell, shown in enumerate(images.chunk(factor**2)):
        row, column = divmod(cell, factor)
        place = mixed[..., edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
        corners = False if resize == "bilinear" else None
        place.copy_(F.interpolate(shown, size=place.shape[-2:], mode=resize, align_corners=corners))
    return mixed


def initial_labels(classes: int, ipc: int) -> torch.Tensor:
    """Labels of class-major images: int64, shape (classes * ipc,), 0 ... 0 1 ... 1 and so on."""
    return torch.arange(classes).repeat_interleave(ipc)
