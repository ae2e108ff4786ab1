"""`dc`: the result file of DC, DSA, DM, IDM and IID (`res_*.pt`).

A dict whose `data` has one [images, labels] a repetition of the experiment, images normalised (DatasetCondensation,
main.py and main_DM.py, `torch.save({'data': data_save, ...})`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from raydd import files
from raydd.errors import ArtifactError
from raydd.storage.formats.content import Content, images_of, labels_of, manifest_of
from raydd.storage.formats.weights_only import load

if TYPE_CHECKING:
    from raydd.storage.distilled import DistilledSet


def is_content(value: Any) -> bool:
    """Whether a loaded file is of this format."""
    return isinstance(value, Mapping) and isinstance(value.get("data"), list | tuple)


def read(path: Path, experiment: int | None = None) -> Content:
    """One set of the file.

    Args:
        path: of the file.
        experiment: which, from 0; None is the last.

    Raises:
        ArtifactError: the file is no such file, or has no such set.
    """
    value = load(path)
    sets = value["data"] if is_content(value) else []
    if not sets or not all(isinstance(each, list | tuple) and len(each) >= 2 for each in sets):
        raise ArtifactError(f"{path} is no result file of DC: it has no 'data' with [images, labels]")
    chosen = len(sets) - 1 if experiment is None else experiment
    if not 0 <= chosen < len(sets):
        raise ArtifactError(f"{path} holds sets 0 to {len(sets) - 1}, and set {experiment} is asked for")
    images = images_of(sets[chosen][0], str(path))
    labels, logits = labels_of(sets[chosen][1], len(images), str(path))
    told = value.get("raydd")
    notes = [f"the file holds {len(sets)} sets; this is number {chosen}"] if len(sets) > 1 else []
    return Content(
        images,
        "normalised",
        labels,
        logits,
        manifest=manifest_of(told) if isinstance(told, str) else None,
        facts={"experiment": chosen} if len(sets) > 1 else {},
        notes=notes,
    )


def write(distilled: DistilledSet, path: Path) -> list[str]:
    """Write the set as one repetition; `raydd` beside `data` is its manifest, which the scripts pass over."""
    value = {
        "data": [[distilled.images(), distilled.labels()]],
        "accs_all_exps": {},
        "raydd": files.canonical_json({**distilled.manifest, "pixels": "normalised"}),
    }
    buffer = io.BytesIO()
    torch.save(value, buffer)
    files.write_bytes(path, buffer.getvalue())
    return []
