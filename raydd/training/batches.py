"""The batches of an epoch, a pure function of source, recipe, seed, purpose and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from raydd import augment, stopping
from raydd.seeding import generator
from raydd.training.recipe import Recipe
from raydd.training.sources import Source


def batches(
    source: Source, recipe: Recipe, seed: int, purpose: str, epoch: int, *, labelled: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented and mixed images (n, C, S, S) and targets of an epoch, batch by batch; see `fit` for the streams.

    Args:
        source, recipe, seed, purpose: see `fit`.
        epoch: 0-based.
        labelled: whether something else labels the images: the targets are then empty, (n, 0).
    """
    augmentation = augment.build(recipe.augmentation)
    order = torch.randperm(len(source), generator=generator(seed, f"{purpose}/order", epoch))
    for number, indices in enumerate(order.split(recipe.batch)):
        stopping.check()
        images, targets = source.batch(indices)
        if labelled:
            targets = images.new_empty(len(images), 0)  # soft labels of no class, which cost nothing to mix
        draw = augmentation.draw(generator(seed, f"{purpose}/augment", epoch, number), len(indices))
        images = augmentation(images, draw)
        blending = generator(seed, f"{purpose}/mixup", epoch, number)
        images, targets = augment.mixup(images, targets, source.classes, recipe.mixup, blending)
        mixing = generator(seed, f"{purpose}/cutmix", epoch, number)
        yield augment.cutmix(images, targets, source.classes, recipe.cutmix, mixing)


def batch_size(source: Source, recipe: Recipe) -> int:
    """Images of every batch but the last of an epoch."""
    return min(recipe.batch, len(source))
