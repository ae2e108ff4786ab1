"""The training loop that assets and evaluations share."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from raydd.augment import DSA
from raydd.seeding import generator
from raydd.training.recipe import Recipe
from raydd.training.sources import Source


def fit(
    net: nn.Module,
    source: Source,
    recipe: Recipe,
    *,
    seed: int,
    purpose: str,
    on_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train `net` in place on `source`, both on one device, by SGD on the mean cross-entropy of a batch.

    The learning rate is dropped as DC and DSA do it: after an epoch of `recipe.decay_epochs` the optimiser
    is built anew with the smaller rate, so its momentum starts from zero.

    Args:
        net: any classifier; left in train mode.
        source: images and hard or soft targets.
        recipe: see `Recipe`.
        seed: epoch e is ordered by the stream (seed, `purpose`/order, e), its batch b is augmented by
            (seed, `purpose`/augment, e, b): one DSA op a batch, its parameters drawn for each sample.
        purpose: names the streams; two trainings with one seed and one purpose draw the same.
        on_epoch: called after every epoch with its 0-based number.
    """
    augment = DSA(recipe.augmentation)
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]

    def optimiser_at(lr: float) -> torch.optim.SGD:
        return torch.optim.SGD(parameters, lr=lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)

    lr = recipe.lr
    optimiser = optimiser_at(lr)
    net.train()
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(source), generator=generator(seed, f"{purpose}/order", epoch))
        for number, indices in enumerate(order.split(recipe.batch)):
            images, targets = source.batch(indices)
            draw = augment.draw(generator(seed, f"{purpose}/augment", epoch, number), len(indices))
            loss = F.cross_entropy(net(augment(images, draw)), targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if epoch in recipe.decay_epochs:
            lr *= recipe.decay
            optimiser = optimiser_at(lr)
        if on_epoch is not None:
            on_epoch(epoch)
