"""The contrastive losses against float64 loops written straight from the equations."""

from __future__ import annotations

import math

import pytest
import torch

from raydd.distillation.losses import (
    category_contrastive,
    category_contrastive_rows,
    supervised_contrastive,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(row: list[float]) -> list[float]:
    length = math.sqrt(sum(value**2 for value in row))
    return [value / length for value in row]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b))


@pytest.mark.parametrize("tau", [0.05, 0.1, 1.0])
def test_category_contrastive_equals_its_loop(tau: float) -> None:
    syn, real = draw(4, 6), draw(4, 6, seed=1)
    z, p = [unit(row) for row in syn.double().tolist()], [unit(row) for row in real.double().tolist()]
    total = 0.0
    for c in range(4):
        total -= math.log(
            math.exp(dot(z[c], p[c]) / tau) / sum(math.exp(dot(z[c], p[other]) / tau) for other in range(4))
        )
    assert float(category_contrastive(syn, real, tau)) == pytest.approx(total / 4, rel=1e-5)


def test_the_rows_average_to_the_loss_and_a_row_needs_its_class_alone() -> None:
    syn, real = draw(5, 6).requires_grad_(), draw(5, 6, seed=1)
    loss = category_contrastive(syn, real)
    (gradient,) = torch.autograd.grad(loss, syn)
    rows = []
    for c in range(5):
        own = syn.detach()[c : c + 1].requires_grad_()
        row = category_contrastive_rows(own, torch.tensor([c]), real).sum() / 5
        row.backward()
        torch.testing.assert_close(own.grad[0], gradient[c])
        rows.append(row.item())
    assert sum(rows) == pytest.approx(loss.item(), rel=1e-6)


def test_category_contrastive_ignores_scale_and_sends_nothing_to_the_real_side() -> None:
    syn, real = draw(4, 6), draw(4, 6, seed=1).requires_grad_()
    assert float(category_contrastive(7.0 * syn, 0.1 * real)) == pytest.approx(
        float(category_contrastive(syn, real)), rel=1e-5
    )
    assert not category_contrastive(syn, real).requires_grad


def test_category_contrastive_of_equal_prototypes_is_the_log_of_their_number() -> None:
    assert float(category_contrastive(draw(4, 6), torch.ones(4, 6))) == pytest.approx(math.log(4), rel=1e-6)
    assert float(category_contrastive(torch.eye(3), torch.eye(3), 1.0)) == pytest.approx(
        -math.log(math.e / (math.e + 2)), rel=1e-6
    )


@pytest.mark.parametrize("with_prototypes", [False, True])
def test_supervised_contrastive_equals_its_loop(with_prototypes: bool) -> None:
    features, labels, tau = draw(6, 5), [0, 0, 1, 1, 1, 2], 0.3  # class 2 has one image
    prototypes = draw(3, 5, seed=1) if with_prototypes else None
    z, of = [unit(row) for row in features.double().tolist()], list(labels)
    if prototypes is not None:
        z, of = z + [unit(row) for row in prototypes.double().tolist()], [*of, 0, 1, 2]
    rows = []
    for i in range(6):
        others = [a for a in range(len(z)) if a != i]
        whole = sum(math.exp(dot(z[i], z[a]) / tau) for a in others)
        positives = [a for a in others if of[a] == of[i]]
        if positives:
            logs = [math.log(math.exp(dot(z[i], z[a]) / tau) / whole) for a in positives]
            rows.append(-sum(logs) / len(logs))
    assert len(rows) == (6 if with_prototypes else 5)
    found = supervised_contrastive(features, torch.tensor(labels), tau, prototypes)
    assert float(found) == pytest.approx(sum(rows) / len(rows), rel=1e-5)


def test_supervised_contrastive_without_pairs_is_zero_and_has_a_zero_gradient() -> None:
    features = draw(3, 5).requires_grad_()
    loss = supervised_contrastive(features, torch.arange(3))
    loss.backward()
    assert loss.item() == 0.0
    assert features.grad.abs().max().item() == 0.0


def test_the_gradients_agree_with_finite_differences() -> None:
    syn, real = draw(3, 4).double().requires_grad_(), draw(3, 4, seed=1).double()
    labels = torch.tensor([0, 0, 1])
    assert torch.autograd.gradcheck(lambda x: category_contrastive(x, real, 0.5), (syn,))
    assert torch.autograd.gradcheck(lambda x: supervised_contrastive(x, labels, 0.5, real), (syn,))
