from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import betainc
from torch import Tensor

from raydd.augment import mixup
from raydd.seeding import generator


def batch(n: int = 6, size: int = 4) -> tuple[Tensor, Tensor]:
    images = torch.randn(n, 2, size, size, generator=generator(0, "images"), dtype=torch.float64)
    return images, torch.arange(n) % 3


def quantile(probability: float, alpha: float) -> float:
    """Where the distribution function of Beta(alpha, alpha) reaches `probability`, by halving an interval."""
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if betainc(alpha, alpha, middle) < probability else (low, middle)
    return low


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.0, 5.0])
def test_images_and_targets_are_blended_as_loops_blend_them(alpha: float) -> None:
    images, targets = batch()
    for attempt in range(10):
        mixed, soft = mixup(images, targets, 4, alpha, generator(attempt, "mix"))
        stream = generator(attempt, "mix")
        share = quantile(torch.rand((), generator=stream, dtype=torch.float64).item(), alpha)
        partner = torch.randperm(6, generator=stream).tolist()
        for n in range(6):
            expected = share * images[n].numpy() + (1 - share) * images[partner[n]].numpy()
            np.testing.assert_allclose(mixed[n].numpy(), expected, rtol=1e-9, atol=1e-12)
            row = [0.0] * 4
            row[targets[n]] += share
            row[targets[partner[n]]] += 1 - share
            assert soft[n].tolist() == pytest.approx(row, abs=1e-9)


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.0, 5.0])
def test_lambda_has_the_mean_and_variance_of_its_beta_distribution(alpha: float) -> None:
    draws, variance = 4000, 1 / (4 * (2 * alpha + 1))
    # Where a one and a zero change places, what is left of the one is lambda.
    images = torch.tensor([1.0, 0.0], dtype=torch.float64).view(2, 1, 1, 1)
    shares = []
    for attempt in range(draws):
        mixed, _ = mixup(images, torch.tensor([0, 1]), 2, alpha, generator(attempt, "beta"))
        stream = generator(attempt, "beta")
        torch.rand((), generator=stream, dtype=torch.float64)
        if torch.randperm(2, generator=stream).tolist() == [1, 0]:  # else an image is mixed with itself
            shares.append(mixed[0].item())
    assert 1850 <= len(shares) <= 2150
    assert abs(np.mean(shares) - 0.5) < 4 * math.sqrt(variance / len(shares))
    assert np.var(shares) == pytest.approx(variance, rel=0.1)
    assert min(shares) >= 0.0
    assert max(shares) <= 1.0


def test_soft_targets_are_mixed_as_the_hard_ones_that_they_spell() -> None:
    images, targets = batch()
    images = images.float()
    for attempt in range(5):
        hard = mixup(images, targets, 3, 0.8, generator(attempt, "mix"))
        soft = mixup(images, F.one_hot(targets, 3).float(), 3, 0.8, generator(attempt, "mix"))
        assert torch.equal(hard[0], soft[0])
        assert torch.equal(hard[1], soft[1])
        assert hard[1].dtype == torch.float32
        torch.testing.assert_close(hard[1].sum(1), torch.ones(6))


def test_alpha_zero_leaves_the_batch_and_the_generator_alone() -> None:
    images, targets = batch()
    stream = generator(0, "mix")
    before = stream.get_state()
    out, same = mixup(images, targets, 3, 0.0, stream)
    assert out is images
    assert same is targets
    assert torch.equal(stream.get_state(), before)


def test_what_is_given_stays_as_it_was_and_the_global_state_plays_no_part() -> None:
    images, targets = batch()
    soft = F.one_hot(targets, 3).double()
    copies = images.clone(), targets.clone(), soft.clone()
    before = torch.random.get_rng_state()
    for attempt in range(5):
        mixup(images, targets, 3, 0.8, generator(attempt, "mix"))
        mixup(images, soft, 3, 0.8, generator(attempt, "mix"))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip((images, targets, soft), copies, strict=True))


@pytest.mark.gpu
def test_the_same_draw_does_the_same_on_a_gpu() -> None:
    images, targets = batch(size=32)
    on_cpu = mixup(images, targets, 3, 0.8, generator(0, "mix"))
    on_gpu = mixup(images.cuda(), targets.cuda(), 3, 0.8, generator(0, "mix"))
    for a, b in zip(on_cpu, on_gpu, strict=True):
        torch.testing.assert_close(a, b.cpu())
