"""Relabelling: sets whose labels are a teacher's, given online, replayed, or once for each image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from raydd.devices import Compute
from raydd.nets import Passes
from raydd.storage import DistilledSet, Teacher
from raydd.storage.labels import halved
from raydd.training import Recipe, TensorSource, replay_logits

PURPOSE = "relabel"
"""Names the streams of the training whose batches are labelled in advance."""
BATCH = 500


@dataclass(frozen=True)
class Relabelling:
    """How sets are labelled, and how networks are then trained on them.

    Attributes:
        kind: `online`: the teacher labels every augmented and mixed batch. `stored`: it labelled the very batches of
            one training, and its logits are replayed. `image`: its labels of the plain images are mixed as they are.
            `hard`: there is no teacher.
        evaluation: the set's recipe (`protocol`, `net`, `epochs`, `augmentation`, `temperature` and so on).
        recipe: the same as a training: what `stored` labels are made for.
    """

    kind: str
    evaluation: Mapping[str, Any]
    recipe: Recipe


def labelled(
    distilled: DistilledSet, teacher: Teacher | None, relabelling: Relabelling, device: torch.device
) -> DistilledSet:
    """The same images with a teacher's labels; real images are labelled by the same function.

    Logits of the plain images are float16 whatever the kind, so that a set is of use without its teacher. The teacher
    is the one object that was given; no weights are copied. Logits are float32, uncompiled, in eval mode, whatever
    computes elsewhere.

    Args:
        distilled: any set of the teacher's classes.
        teacher: None for `hard` labels.
        relabelling: see `Relabelling`.
        device: where to compute.

    Raises:
        ArtifactError: a logit is beyond float16.
    """
    described = {**distilled.manifest, "evaluation": {**distilled.recipe, **relabelling.evaluation}}
    if relabelling.kind == "hard" or teacher is None:
        hard = {**described, "labels": {"kind": "hard"}}
        return replace(distilled, manifest=hard, logits=None, replay=None, teacher=None)
    net = teacher.network(distilled.manifest["channels"], distilled.manifest["size"], distilled.classes)
    images = distilled.images().to(device)
    compute = Compute(device)
    passes = Passes(compute, image_gradient=False, batch=min(BATCH, len(images)), size=images.shape[-1])
    passes.place(net)
    with torch.no_grad():
        logits = torch.cat([passes.logits(net, part) for part in images.split(BATCH)])
    labels: dict[str, Any] = {"kind": relabelling.kind, "teacher": dict(teacher.facts)}
    replay = None
    if relabelling.kind == "stored":
        seed, epochs = distilled.manifest["seed"], relabelling.recipe.epochs
        source = TensorSource(images, distilled.labels().to(device), distilled.classes)
        replay = replay_logits(
            net, source, relabelling.recipe, compute, seed=seed, purpose=PURPOSE, epochs=epochs
        )
        recipe = relabelling.recipe.to_json()
        labels["replay"] = {"seed": seed, "purpose": PURPOSE, "epochs": epochs, "recipe": recipe}
    named = f"the teacher {teacher.facts['asset']} ({teacher.net})"
    return replace(
        distilled,
        manifest={**described, "labels": labels},
        logits=halved(logits, f"{named} gives logits as large as {logits.abs().max().item():.3g}"),
        replay=replay if replay is None else replay.cpu(),
        teacher=teacher,
    )
