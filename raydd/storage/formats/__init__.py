"""Formats of distilled sets besides raydd's own: what each can hold, and how it is recognised, read and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from raydd.errors import ArtifactError, ConfigError, unknown
from raydd.storage.formats import dc, ddranking, folder, hf, idc, npz, weights_only
from raydd.storage.formats.content import Content

if TYPE_CHECKING:
    from raydd.storage.distilled import DistilledSet

__all__ = ["FORMATS", "OWN", "Content", "Format", "get", "of_input", "of_output"]

OWN = "raydd"
"""The safetensors files of `DistilledSet.save`."""


@dataclass(frozen=True)
class Format:
    """A format of others.

    Attributes:
        title: one line for people.
        is_folder: whether it is a folder rather than a file.
        soft: whether it holds soft labels.
        decodes: what it can say of how stored images become training images: `nothing`, `cells` (multi-formation), or
            `all`, regions too.
        whole: whether it holds a set as it is, labels of every kind included.
        read: path to content.
        write: writes a set whose labels and decoding it can hold, and returns sentences for people.
    """

    title: str
    is_folder: bool
    soft: bool
    decodes: str
    whole: bool
    read: Callable[..., Content]
    write: Callable[[DistilledSet, Path], list[str]]


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "folder": Format(
            "class folders of 8-bit PNGs", True, False, "nothing", False, folder.read, folder.write
        ),
        "npz": Format("NumPy arrays", False, True, "all", True, npz.read, npz.write),
        "dc": Format("res_*.pt of DC, DSA, DM, IDM, IID", False, False, "nothing", False, dc.read, dc.write),
        "idc": Format("data.pt of IDC", False, False, "cells", False, idc.read, idc.write),
        "ddranking": Format(
            "images.pt, labels.pt, lr.pt (MTT, DATM, DD-Ranking)",
            True,
            True,
            "nothing",
            False,
            ddranking.read,
            ddranking.write,
        ),
        "hf": Format("Hugging Face dataset with its card", True, True, "nothing", False, hf.read, hf.write),
    }
)


def get(name: str, option: str) -> Format:
    """The format called `name`.

    Raises:
        ConfigError: there is none; `option` is where the name was given.
    """
    if name not in FORMATS:
        raise ConfigError(f"{option}: {unknown('format', name, [*FORMATS, OWN])}")
    return FORMATS[name]


def of_input(path: Path) -> str:
    """Name of the format that a file or folder is of, by its suffix and what is in it.

    Raises:
        ArtifactError: there is nothing there, or it is of no known format, or like `idc`'s with images that are not.
    """
    if path.is_dir():
        if hf.is_content(path):
            return "hf"
        return "ddranking" if ddranking.is_content(path) else "folder"
    if not path.exists():
        raise ArtifactError(f"there is no file or folder {path}")
    if path.suffix == ".safetensors":
        return OWN
    if path.suffix == ".npz":
        return "npz"
    if path.suffix in (".pt", ".pth"):
        value = weights_only.load(path)
        if dc.is_content(value):
            return "dc"
        if idc.is_content(value):
            idc.check_range(value[0], path)
            return "idc"
        raise ArtifactError(
            f"{path} holds neither a dict with 'data' (dc) nor [images, labels] (idc); name what it is with --from"
        )
    raise ArtifactError(
        f"{path} is of no format that is known by its name: .safetensors, .npz, .pt or a folder; name it with --from"
    )


def of_output(path: Path) -> str:
    """Name of the format that is to be written, by the name of the file.

    Raises:
        ConfigError: the name leaves it open.
    """
    if path.suffix in (".safetensors", ".npz"):
        return OWN if path.suffix == ".safetensors" else "npz"
    if path.suffix == ".pt":
        if path.name == "data.pt":
            return "idc"
        if path.name.startswith("res_"):
            return "dc"
    raise ConfigError(
        f"--to: {path.name} may be of several formats; name one of {', '.join([*FORMATS, OWN])}"
    )
