"""The decode specification: how the stored images of a class become the views that networks are trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from raydd.errors import ArtifactError
from raydd.formation.cells import cell_side, cell_views
from raydd.formation.regions import crop_regions

IDENTITY = {"kind": "identity"}
FORMS = ("single", "multi", "bound")


def cells_spec(factor: int, form: str = "single", bound: int = 128) -> dict[str, Any]:
    """Specification of multi-formation (IDC) or partition and expansion (IDM); JSON-able.

    Args:
        factor: cells along each side of a stored image, >= 1; 1 is the identity in every form.
        form: `single`: every image at `factor`. `multi`: every image at 1, 2, ..., `factor`. `bound`: as many
            images as `bound` allows at `factor`, the next at `factor` - 1, and so on.
        bound: of the form `bound`: views a class, at most (but never fewer than one an image), >= 1.

    Raises:
        ArtifactError: see `check_decode`.
    """
    spec: dict[str, Any] = {"kind": "cells", "factor": factor, "form": form}
    if form == "bound":
        spec["bound"] = bound
    check_decode(spec)
    return dict(IDENTITY) if factor == 1 else spec


def check_decode(spec: Mapping[str, Any], size: int | None = None) -> None:
    """Refuse a decode specification that cannot be applied.

    Args:
        spec: `{"kind": "identity"}`, or what `cells_spec` gives.
        size: side of the stored images in pixels; None leaves open whether the cells fit in it.

    Raises:
        ArtifactError: a field is missing, unknown or not allowed, or a cell would hold padding alone.
    """
    problem = _problem(spec, size)
    if problem:
        raise ArtifactError(f"decode specification {spec!r}: {problem}")


def _problem(spec: Mapping[str, Any], size: int | None) -> str | None:
    kind = spec.get("kind") if isinstance(spec, Mapping) else None
    if kind not in ("identity", "cells"):
        return "its kind must be identity or cells"
    fields = ["kind"]
    if kind == "cells":
        fields += ["factor", "form"] + (["bound"] if spec.get("form") == "bound" else [])
        if spec.get("form") not in FORMS:
            return f"its form must be one of {', '.join(FORMS)}"
    if set(spec) != set(fields):
        return f"its fields must be {', '.join(fields)}"
    for name in ("factor", "bound"):
        if name in fields and (type(spec[name]) is not int or spec[name] < 1):
            return f"its {name} must be a whole number of at least 1"
    if kind == "cells" and size is not None:
        factor = spec["factor"]
        if (factor - 1) * cell_side(size, factor) >= size:
            return f"its factor must leave a pixel in every cell, and {size} px are too few for {factor} cells a side"
    return None


def _runs(spec: Mapping[str, Any], ipc: int) -> list[tuple[int, int, int]]:
    """(factor, first, end): in the order of the views, which images of a class are cut by which factor."""
    if spec["kind"] == "identity":
        return [(1, 0, ipc)]
    factor = spec["factor"]
    if spec["form"] == "single":
        return [(factor, 0, ipc)]
    if spec["form"] == "multi":
        return [(each, 0, ipc) for each in range(1, factor + 1)]
    # IDC, condense.py `decode_zoom_bound`: greedy from the largest factor down, a view kept free for every image left
    runs, first, decoded, left = [], 0, 0, spec["bound"] - ipc
    for each in range(factor, 0, -1):
        taken = ipc - first if each == 1 else min(max(0, left) // each**2, ipc - first)
        if taken:
            runs.append((each, first, first + taken))
        first += taken
        decoded += taken * each**2
        left = spec["bound"] - decoded - (ipc - first)
        if first == ipc:
            break
    return runs


def views(spec: Mapping[str, Any], ipc: int, regions: int = 0) -> int:
    """Views V that `decode` makes of a class.

    Args:
        spec: see `check_decode`.
        ipc: stored images a class.
        regions: boxes an image.

    Raises:
        ArtifactError: see `check_decode`.
    """
    check_decode(spec)
    return sum((end - first) * factor**2 for factor, first, end in _runs(spec, ipc)) + ipc * regions


def view_sources(spec: Mapping[str, Any], ipc: int, regions: int = 0) -> torch.Tensor:
    """Which stored image of its class each view shows: int64, shape (V,), in [0, ipc), on the CPU.

    Raises:
        ArtifactError: see `check_decode`.
    """
    check_decode(spec)
    shown = [torch.arange(first, end).repeat_interleave(factor**2) for factor, first, end in _runs(spec, ipc)]
    return torch.cat([*shown, torch.arange(ipc).repeat_interleave(regions)])


def decode(
    pixels: torch.Tensor, spec: Mapping[str, Any], boxes: torch.Tensor | None = None, pad: float = 0.0
) -> torch.Tensor:
    """Stored pixels to the images that networks are trained on; differentiable in `pixels`, on their device.

    Args:
        pixels: float, shape (K, ipc, C, H, W), any K classes.
        spec: see `check_decode`.
        boxes: int64, shape (K, ipc, R, 3), regions as `crop_regions` takes them; None is none.
        pad: see `cell_views`.

    Returns:
        Shape (K, V, C, H, W) with V = `views(spec, ipc, R)`. Within a class come the cells, image by image and
        the cells of an image row by row (`multi`: all images by factor 1, then by factor 2, ...; `bound`: the
        first images by the largest factor, then the next by a smaller one), then the regions, image by image.

    Raises:
        ArtifactError: see `check_decode` and `check_boxes`.
    """
    classes, ipc, _, height, width = pixels.shape
    check_decode(spec, min(height, width))
    parts = [
        cell_views(pixels[:, first:end].flatten(0, 1), factor, pad).unflatten(0, (classes, -1)).flatten(1, 2)
        for factor, first, end in _runs(spec, ipc)
    ]
    if boxes is not None:
        regions = crop_regions(pixels.flatten(0, 1), boxes.flatten(0, 1))
        parts.append(regions.unflatten(0, (classes, ipc)).flatten(1, 2))
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
