"""The contrastive losses against float64 loops written straight from the equations."""

from __future__ import annotations

import math

import pytest
import torch

from raydd.distillation.losses import category_contrastive, category_contrastive_rows


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


def test_the_gradients_agree_with_finite_differences() -> None:
    syn, real = draw(3, 4).double().requires_grad_(), draw(3, 4, seed=1).double()
    assert torch.autograd.gradcheck(lambda x: category_contrastive(x, real, 0.5), (syn,))
