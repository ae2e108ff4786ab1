"""What labels a distilled set is used with: their kinds, what each kind needs, and whether a set holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from raydd.errors import ArtifactError
from raydd.storage.teacher import Teacher

KINDS = ("hard", "image", "online", "stored")
"""`hard`: the classes alone. The others are soft: `image` takes the teacher's probabilities of the plain training
images, mixed as they are; `online` lets the teacher label every augmented batch; `stored` replays what it said then."""

NEEDED = {"image": "logits", "stored": "replay"}
"""Which tensor of logits a kind cannot be used without."""

REPLAY = ("seed", "purpose", "epochs")
TEACHER = ("asset", "sha256", "net", "epochs", "pretrained")


def check_labels(
    about: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor | None],
    teacher: Teacher | None,
    images: int,
    classes: int,
) -> None:
    """Refuse labels that a set cannot be used with.

    Args:
        about: the manifest's `labels`: `kind` and, with soft labels, the facts of the `teacher`; with stored ones
            also those of the `replay`.
        tensors: `logits` and `replay`, see `raydd.storage.DistilledSet`; None where the set has none.
        teacher: if it is at hand.
        images: N', training images after decoding.
        classes: number of classes.

    Raises:
        ArtifactError: one sentence with what is wrong and what is allowed.
        KeyError: facts are missing.
    """
    kind = about["kind"]
    if kind not in KINDS:
        raise ArtifactError(f"labels of kind {kind!r}; allowed are {', '.join(KINDS)}")
    if kind != "hard":
        facts = {name: about["teacher"][name] for name in TEACHER}
        if teacher is not None and teacher.facts["sha256"] != facts["sha256"]:
            raise ArtifactError(
                f"the teacher {teacher.facts['asset']}, but the labels are those of {facts['asset']}"
            )
    for name, logits in tensors.items():
        if logits is None:
            if NEEDED.get(kind) == name:
                raise ArtifactError(f"labels of kind {kind!r} without the {name} that they are made of")
            continue
        rows = (images, classes) if name == "logits" else (*logits.shape[:1], images, classes)
        if logits.dtype != torch.float16 or tuple(logits.shape) != rows or not len(logits):
            shape = f"({'' if name == 'logits' else 'epochs, '}{images}, {classes})"
            raise ArtifactError(
                f"{name} are {logits.dtype} of shape {tuple(logits.shape)}; allowed is torch.float16 of shape {shape}"
            )
    if kind == "stored":
        recorded = {name: about["replay"][name] for name in REPLAY}
        held = tensors["replay"]
        if held is not None and recorded["epochs"] != len(held):
            raise ArtifactError(f"a replay of {len(held)} epochs, but its manifest says {recorded['epochs']}")
