from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from raydd.seeding import generator
from raydd.training import Recipe
from raydd.training.optimisation import epochs


def parameters() -> list[Tensor]:
    """A matrix, a bias, and a filter bank."""
    return [
        torch.randn(shape, generator=generator(i, "parameters"), dtype=torch.float64).requires_grad_()
        for i, shape in enumerate([(4, 3), (4,), (2, 3, 3, 3)])
    ]


def gradients(step: int) -> list[Tensor]:
    return [
        torch.randn(p.shape, generator=generator(step, "g", i), dtype=p.dtype)
        for i, p in enumerate(parameters())
    ]


def stepped(recipe: Recipe, a_epoch: int = 2, **settings: Any) -> list[Tensor]:
    values = parameters()
    for epoch, optimiser in epochs(values, recipe, **settings):
        for number in range(a_epoch):
            for value, gradient in zip(values, gradients(10 * epoch + number), strict=True):
                value.grad = gradient
            optimiser.step()
    return [value.detach() for value in values]


@pytest.mark.parametrize("matrices_only", [False, True])
@pytest.mark.parametrize("warmup", [0, 2])
def test_adamw_follows_its_equations_with_a_decay_apart_from_the_gradient(
    matrices_only: bool, warmup: int
) -> None:
    recipe = Recipe(
        epochs=4,
        lr=0.05,
        weight_decay=0.3,
        optimiser="adamw",
        schedule="cosine",
        warmup=warmup,
        decay_matrices_only=matrices_only,
    )
    expected = [value.detach().numpy().copy() for value in parameters()]
    first, second = [np.zeros_like(value) for value in expected], [np.zeros_like(value) for value in expected]
    t = 0
    for epoch in range(4):
        if epoch < warmup:
            lr = 0.05 * (0.01 + 0.99 * epoch / warmup)
        else:
            lr = 0.05 * (1 + math.cos(math.pi * (epoch - warmup) / (4 - warmup))) / 2
        for number in range(2):
            t += 1
            for i, gradient in enumerate(gradients(10 * epoch + number)):
                g = gradient.numpy()
                decay = 0.3 if expected[i].ndim > 1 or not matrices_only else 0.0
                first[i] = 0.9 * first[i] + 0.1 * g
                second[i] = 0.999 * second[i] + 0.001 * g**2
                mean, square = first[i] / (1 - 0.9**t), second[i] / (1 - 0.999**t)
                expected[i] = expected[i] - lr * decay * expected[i] - lr * mean / (np.sqrt(square) + 1e-8)
    for value, wanted in zip(stepped(recipe), expected, strict=True):
        np.testing.assert_allclose(value.numpy(), wanted, rtol=1e-10, atol=1e-12)


def test_sgd_can_decay_matrices_alone() -> None:
    recipe = Recipe(epochs=1, lr=0.1, momentum=0.0, weight_decay=0.3, decay_matrices_only=True)
    for value, start, gradient in zip(stepped(recipe, 1), parameters(), gradients(0), strict=True):
        decay = 0.3 if start.ndim > 1 else 0.0
        torch.testing.assert_close(value, start.detach() - 0.1 * (gradient + decay * start.detach()))


def test_stacked_parameters_are_matrices_where_those_of_a_member_are() -> None:
    recipe = Recipe(epochs=1, lr=0.1, momentum=0.0, weight_decay=0.3, decay_matrices_only=True)
    start, after = parameters(), stepped(recipe, 1, stacked=True)
    for i, decay in enumerate([0.0, 0.0, 0.3]):  # (4, 3) are three biases of each of four networks
        torch.testing.assert_close(
            after[i], start[i].detach() - 0.1 * (gradients(0)[i] + decay * start[i].detach())
        )


def test_parameters_without_a_gradient_stay() -> None:
    values = parameters()
    values[0].requires_grad_(False)
    _, optimiser = next(epochs(values, Recipe(epochs=1, optimiser="adamw")))
    assert [len(group["params"]) for group in optimiser.param_groups] == [2]


def test_a_cosine_keeps_the_momentum_and_a_step_that_resets_loses_it() -> None:
    def optimisers(recipe: Recipe) -> list[int]:
        return [id(optimiser) for optimiser in [optimiser for _, optimiser in epochs(parameters(), recipe)]]

    assert len(set(optimisers(Recipe(epochs=5, schedule="cosine")))) == 1
    assert len(set(optimisers(Recipe(epochs=5, decay_epochs=(1, 1, 3))))) == 3
    assert len(set(optimisers(Recipe(epochs=5, decay_epochs=(1, 3), decay_resets_momentum=False)))) == 1
