"""Baselines that distil nothing: randomly chosen real images, which every method has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from raydd.formation import initial_images, initial_labels
from raydd.storage import DistilledSet, manifest

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.registry import Context


def random_real(data: DataSplits, context: Context, recipe: Mapping[str, Any], seed: int) -> DistilledSet:
    """`context.ipc` random training images of every class: those that a method with this seed starts from.

    Args:
        data: only `data.train` is read.
        context: dataset facts and IPC.
        recipe: how to train on the set (`protocol`, `net`, `epochs`, `augmentation`): that of the method it
            is compared with.
        seed: of the draw.
    """
    return DistilledSet(
        initial_images(data.train, context.ipc, data.normalisation, seed, "real"),
        initial_labels(data.classes, context.ipc),
        manifest(
            method="random",
            hyperparameters={},
            context=context,
            data=data,
            seed=seed,
            iteration=0,
            evaluation=recipe,
        ),
    )
