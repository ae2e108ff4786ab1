"""What labels a distilled set is used with: their kinds, what each kind needs, and whether a set holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from raydd.errors import ArtifactError, ConfigError
from raydd.storage.teacher import Teacher
from raydd.training import Recipe
from raydd.training.typed import WORDS, is_of

KINDS = ("hard", "image", "online", "stored")
"""`hard`: the classes alone. The others are soft: `image` takes the teacher's probabilities of the plain training
images, mixed as they are; `online` lets the teacher label every augmented batch; `stored` replays what it said then."""

NEEDED = {"image": "logits", "stored": "replay"}
"""Which tensor of logits a kind cannot be used without."""

REPLAY: Mapping[str, type] = {"seed": int, "purpose": str, "epochs": int, "recipe": dict}
TEACHER: Mapping[str, type] = {
    "asset": str,
    "sha256": str,
    "weights": str,
    "net": str,
    "epochs": int,
    "pretrained": bool,
}


def checked(about: Mapping[str, Any], name: str, kind: type, where: str = "") -> Any:
    """What a manifest says, if it is of the kind that it has to be.

    Args:
        about: a part of the manifest.
        name: of the fact.
        kind: one of `raydd.training.typed.WORDS`.
        where: what the part is called, with a dot behind it.

    Raises:
        ArtifactError: it is of another kind; one sentence, which goes on after "holds".
        KeyError: it is missing.
    """
    if not is_of(about[name], kind):
        raise ArtifactError(f"a manifest whose {where}{name} is {about[name]!r}; allowed is {WORDS[kind]}")
    return about[name]


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
            also those of the `replay`, whose `recipe` says what its batches were.
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
        given = checked(about, "teacher", dict, "labels.")
        facts = {name: checked(given, name, each, "labels.teacher.") for name, each in TEACHER.items()}
        if teacher is not None and any(teacher.facts[name] != facts[name] for name in ("sha256", "weights")):
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
        if not torch.isfinite(logits).all():
            raise ArtifactError(f"{name} that are not finite")
    if kind == "stored":
        told = checked(about, "replay", dict, "labels.")
        if "recipe" not in told:
            raise ArtifactError(
                "a replay that does not say what its batches were (recipe); label the set anew"
            )
        recorded = {name: checked(told, name, each, "labels.replay.") for name, each in REPLAY.items()}
        try:
            Recipe.from_json(recorded["recipe"])
        except ConfigError as error:
            raise ArtifactError(f"a manifest whose labels.replay.recipe is of no use: {error}") from None
        held = tensors["replay"]
        if held is not None and recorded["epochs"] != len(held):
            raise ArtifactError(f"a replay of {len(held)} epochs, but its manifest says {recorded['epochs']}")


def halved(logits: torch.Tensor, found: str) -> torch.Tensor:
    """Logits as sets hold them: float16, on the CPU, of the same shape.

    Args:
        logits: of any floating-point dtype, on any device.
        found: whose they are and how large, for the sentence.

    Raises:
        ArtifactError: one is not finite in float16; as a label it would be no number, and networks stay at chance.
    """
    half = logits.to(torch.float16).cpu()
    if not bool(half.isfinite().all()):
        raise ArtifactError(f"{found}; allowed are finite ones up to 65504, the largest of float16")
    return half
