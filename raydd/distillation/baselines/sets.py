"""Real images as a `DistilledSet`, so that they are evaluated as what was distilled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raydd.formation import initial_images, initial_labels
from raydd.storage import DistilledSet, manifest

if TYPE_CHECKING:
    from torch import Tensor

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
    pixels = initial_images(data.train, context.ipc, data.normalisation, seed, "real")
    return _real_set("random", {}, pixels, data, context, recipe, seed)


def selected_real(
    name: str,
    rows: Sequence[int],
    facts: Mapping[str, Any],
    data: DataSplits,
    context: Context,
    recipe: Mapping[str, Any],
) -> DistilledSet:
    """The training images that a coreset chose; equal choices give equal files, whatever is evaluated later.

    Args:
        name: of the coreset, which stands as the method.
        rows: of `data.train`, class-major, (classes * ipc,).
        facts: JSON-able, what the choice depended on; they stand as the hyperparameters.
        data: only `data.train` is read.
        context, recipe: see `random_real`.
    """
    pixels = data.normalisation.apply(data.train.take(rows))
    return _real_set(name, facts, pixels, data, context, recipe, 0)


def _real_set(
    name: str,
    facts: Mapping[str, Any],
    pixels: Tensor,
    data: DataSplits,
    context: Context,
    recipe: Mapping[str, Any],
    seed: int,
) -> DistilledSet:
    described = manifest(
        method=name,
        hyperparameters=facts,
        context=context,
        data=data,
        seed=seed,
        iteration=0,
        evaluation=recipe,
    )
    return DistilledSet(pixels, initial_labels(data.classes, context.ipc), described)
