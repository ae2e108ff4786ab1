"""Distances of gradients against loops written from their equations."""

from __future__ import annotations

import math

import pytest
import torch

from raydd.distillation.distances import METRICS, gradient_distance
from raydd.errors import ConfigError
from raydd.seeding import generator

SHAPES = [(5, 3, 3, 3), (4, 5, 3, 3), (6, 4, 1, 1)]


def layers(seed: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    stream = generator(seed, "layers")
    return [torch.randn(shape, dtype=dtype, generator=stream) for shape in SHAPES]


def by_hand(x: torch.Tensor, y: torch.Tensor, metric: str) -> float:
    total = 0.0
    for row, other in zip(x.flatten(1).tolist(), y.flatten(1).tolist(), strict=True):
        gaps = [abs(a - b) for a, b in zip(row, other, strict=True)]
        if metric == "mse":
            total += sum(gap * gap for gap in gaps)
        elif metric == "l1":
            total += sum(gaps)
        elif metric == "l1_mean":
            total += sum(gaps) / len(gaps)
        else:
            product = sum(a * b for a, b in zip(row, other, strict=True))
            norms = math.sqrt(sum(a * a for a in row)) * math.sqrt(sum(b * b for b in other))
            total += 1.0 - product / (norms + 1e-6)
    return total


@pytest.mark.parametrize("metric", METRICS)
def test_a_distance_is_its_equation(metric: str) -> None:
    for x, y in zip(layers(0), layers(1), strict=True):
        assert gradient_distance(x, y, metric).item() == pytest.approx(by_hand(x, y, metric), rel=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_layers_are_added_up(metric: str) -> None:
    expected = sum(by_hand(x, y, metric) for x, y in zip(layers(0), layers(1), strict=True))
    assert gradient_distance(layers(0), layers(1), metric).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("metric", ["mse", "l1", "l1_mean"])
def test_equal_gradients_are_at_distance_zero(metric: str) -> None:
    assert gradient_distance(layers(0), layers(0), metric).item() == 0.0


def test_the_cosine_distance_is_zero_of_parallel_rows_and_two_of_opposite_ones() -> None:
    x = layers(0)[0]
    assert gradient_distance(x, 3 * x, "cos").item() == pytest.approx(0.0, abs=1e-6)
    assert gradient_distance(x, -x, "cos").item() == pytest.approx(2.0 * len(x), rel=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_the_derivative_is_that_of_finite_differences(metric: str) -> None:
    real, syn = layers(0)[0], layers(1)[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda s: gradient_distance(real, s, metric), syn)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("zero", ["real", "syn", "both"])
def test_a_row_of_zeros_gives_a_finite_derivative(metric: str, zero: str) -> None:
    real, syn = layers(0, torch.float32)[0], layers(1, torch.float32)[0]
    for name, gradients in (("real", real), ("syn", syn)):
        if zero in (name, "both"):
            gradients[2] = 0.0
    syn.requires_grad_()
    distance = gradient_distance(real, syn, metric)
    (derivative,) = torch.autograd.grad(distance, syn)
    assert distance.isfinite()
    assert derivative.isfinite().all()
    if metric == "cos" and zero == "both":
        assert derivative[2].abs().max() == 0.0


def test_an_unknown_metric_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"metric: unknown metric 'l2'.*cos, l1, l1_mean, mse"):
        gradient_distance(layers(0), layers(1), "l2")


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        gradient_distance(layers(0), layers(1)[:2], "mse")


@pytest.mark.integration
@pytest.mark.parametrize("metric", METRICS)
def test_compiled_without_a_break_it_is_the_same(metric: str) -> None:
    compiled = torch.compile(gradient_distance, fullgraph=True, dynamic=False)
    real, syn = layers(0), [layer.requires_grad_() for layer in layers(1)]
    found = torch.autograd.grad(compiled(real, syn, metric), syn)
    expected = torch.autograd.grad(gradient_distance(real, syn, metric), syn)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
