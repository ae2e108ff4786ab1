"""`ddranking`: a folder with `images.pt`, `labels.pt` and `lr.pt`, as DD-Ranking's evaluators are given it.

Images are normalised; labels are classes, or one row of logits an image; `lr` is the learning rate of a network that is
trained on them. MTT leaves the same files with `_best` or an iteration behind their names.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from raydd import files
from raydd.errors import ArtifactError
from raydd.storage.formats.content import MANIFEST, Content, images_of, labels_of, manifest_in, tensor_of
from raydd.storage.formats.weights_only import load

if TYPE_CHECKING:
    from raydd.storage.distilled import DistilledSet

ENDINGS = ("", "_best")
LEARNING_RATE = 0.01
"""Of the protocols that raydd shares with DC and IDC."""


def is_content(path: Path) -> bool:
    """Whether a folder is of this format."""
    return any((path / f"images{ending}.pt").is_file() for ending in ENDINGS)


def read(path: Path) -> Content:
    """The set in the folder.

    Raises:
        ArtifactError: a file is missing or of another kind.
    """
    ending = next((each for each in ENDINGS if (path / f"images{each}.pt").is_file()), None)
    if ending is None:
        raise ArtifactError(f"{path} is no folder of DD-Ranking: it has no images.pt")
    images = images_of(_tensor(path / f"images{ending}.pt"), str(path / f"images{ending}.pt"))
    file = path / f"labels{ending}.pt"
    labels, logits = labels_of(_tensor(file), len(images), str(file)) if file.is_file() else (None, None)
    facts: dict[str, Any] = {}
    if (path / "lr.pt").is_file():
        rate = _tensor(path / "lr.pt")
        if rate.numel() != 1 or rate.is_complex():
            raise ArtifactError(f"{path / 'lr.pt'} holds {rate.numel()} values; allowed is one learning rate")
        facts["syn_lr"] = float(rate.item())
    return Content(images, "normalised", labels, logits, manifest=manifest_in(path), facts=facts)


def _tensor(path: Path) -> torch.Tensor:
    return tensor_of(load(path), str(path))


def write(distilled: DistilledSet, path: Path) -> list[str]:
    """Write the folder; soft labels are the logits of the plain images, float32, to be divided by the temperature."""
    labels = distilled.labels() if distilled.logits is None else distilled.logits.float()
    with files.atomic_folder(path) as folder:
        rate = torch.tensor(LEARNING_RATE)
        for name, tensor in (("images", distilled.images()), ("labels", labels), ("lr", rate)):
            buffer = io.BytesIO()
            torch.save(tensor, buffer)
            files.write_bytes(folder / f"{name}.pt", buffer.getvalue())
        manifest = {**distilled.manifest, "pixels": "normalised"}
        files.write_json(folder / MANIFEST, manifest)
    if distilled.logits is None:
        return []
    return [
        f"labels.pt holds logits: DD-Ranking's temperature is {distilled.recipe.get('temperature') or 1:g}"
    ]
