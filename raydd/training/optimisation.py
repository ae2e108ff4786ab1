"""The optimiser of a recipe, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from raydd.training.recipe import Recipe


def epochs(
    parameters: Iterable[Tensor], recipe: Recipe, *, stacked: bool = False
) -> Iterator[tuple[int, torch.optim.Optimizer]]:
    """Each epoch's 0-based number, and its optimiser at the epoch's learning rate.

    Args:
        parameters: of the network; those that require no gradient are left alone.
        recipe: see `Recipe`.
        stacked: whether each parameter holds those of several networks, which is a dimension more.
    """
    groups = _groups([parameter for parameter in parameters if parameter.requires_grad], recipe, stacked)
    optimiser = _optimiser(groups, recipe)
    for epoch in range(recipe.epochs):
        if recipe.decay_resets_momentum and epoch - 1 in recipe.decay_epochs:
            optimiser = _optimiser(groups, recipe)
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(epoch)
        yield epoch, optimiser


def _groups(trained: list[Tensor], recipe: Recipe, stacked: bool) -> list[tuple[list[Tensor], float]]:
    """Parameters and their weight decay."""
    if not recipe.decay_matrices_only:
        return [(trained, recipe.weight_decay)]
    least = 3 if stacked else 2
    matrices = [parameter for parameter in trained if parameter.ndim >= least]
    others = [parameter for parameter in trained if parameter.ndim < least]
    return [(matrices, recipe.weight_decay), (others, 0.0)]


def _optimiser(groups: list[tuple[list[Tensor], float]], recipe: Recipe) -> torch.optim.Optimizer:
    named = [{"params": parameters, "weight_decay": decay} for parameters, decay in groups]
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(named, lr=recipe.lr)
    return torch.optim.SGD(named, lr=recipe.lr, momentum=recipe.momentum)
