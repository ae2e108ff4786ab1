from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from raydd.augment import cutmix
from raydd.seeding import generator


def batch(n: int = 6, size: int = 8, classes: int = 3) -> tuple[Tensor, Tensor]:
    images = torch.randn(n, 2, size, size, generator=generator(0, "images"))
    return images, torch.arange(n) % classes


def numbered(n: int, height: int, width: int) -> Tensor:
    """Image i is i everywhere, so that every pixel says whose it is."""
    return torch.arange(n, dtype=torch.float32).view(n, 1, 1, 1).repeat(1, 1, height, width)


@pytest.mark.parametrize("shape", [(8, 8), (7, 10), (32, 32)])
def test_a_batch_is_mixed_as_loops_mix_it(shape: tuple[int, int]) -> None:
    height, width = shape
    images = torch.randn(5, 3, height, width, generator=generator(0, "images"))
    targets = torch.tensor([0, 2, 1, 1, 0])
    for attempt in range(20):
        mixed, soft = cutmix(images, targets, 4, 1.0, generator(attempt, "mix"))
        stream = generator(attempt, "mix")
        _, share, down, across = torch.rand(4, generator=stream, dtype=torch.float64).tolist()
        partner = torch.randperm(5, generator=stream).tolist()
        expected, area = images.clone(), 0
        half_rows = int(height * math.sqrt(share)) // 2
        half_columns = int(width * math.sqrt(share)) // 2
        for i in range(height):
            for j in range(width):
                below = i - math.floor(down * height)
                right = j - math.floor(across * width)
                if -half_rows <= below < half_rows and -half_columns <= right < half_columns:
                    area += 1
                    for n in range(5):
                        expected[n, :, i, j] = images[partner[n], :, i, j]
        assert torch.equal(mixed, expected)
        ratio = 1 - area / (height * width)
        for n in range(5):
            row = [0.0] * 4
            row[targets[n]] += ratio
            row[targets[partner[n]]] += 1 - ratio
            assert soft[n].tolist() == pytest.approx(row, abs=1e-7)


def test_the_targets_are_mixed_by_exactly_the_pixels_that_were_taken() -> None:
    images, targets = numbered(6, 16, 16), torch.arange(6)  # each image a class of its own
    for attempt in range(50):
        mixed, soft = cutmix(images, targets, 6, 1.0, generator(attempt, "mix"))
        for n in range(6):
            shares = [(mixed[n] == k).double().mean().item() for k in range(6)]
            assert soft[n].tolist() == pytest.approx(shares, abs=1e-7)
        assert soft.sum(0).tolist() == pytest.approx([1.0] * 6, abs=1e-6)  # a permutation, not a resampling


def test_the_box_has_the_area_that_a_uniform_lambda_gives_it() -> None:
    side, draws = 32, 4000
    images = numbered(2, side, side)
    found = []
    for attempt in range(draws):
        _, soft = cutmix(images, torch.tensor([0, 1]), 2, 1.0, generator(attempt, "area"))
        if soft[0, 0] < 1.0 or torch.randperm(2, generator=_after_uniforms(attempt)).tolist() == [1, 0]:
            found.append(float(soft[0, 1]))  # the swapped half of all draws: a share is seen
    assert 1850 <= len(found) <= 2150
    # int(side sqrt(u)) // 2 = h where sqrt(u) lies in [2h, 2h + 2) / side; the centre of an axis is uniform
    mean = square = nothing = 0.0
    for half in range(side // 2):
        probability = ((2 * half + 2) / side) ** 2 - (2 * half / side) ** 2
        lengths = [min(c + half, side) - max(c - half, 0) for c in range(side)]
        first = sum(lengths) / side / side
        second = sum(length**2 for length in lengths) / side / side**2
        mean += probability * first**2
        square += probability * second**2
        nothing += probability * (half == 0)
    deviation = math.sqrt((square - mean**2) / len(found))
    assert abs(np.mean(found) - mean) < 4 * deviation
    assert np.mean(np.square(found)) == pytest.approx(square, rel=0.08)
    empty = np.mean(np.array(found) == 0.0)
    assert abs(empty - nothing) < 4 * math.sqrt(nothing / len(found))


def _after_uniforms(attempt: int) -> torch.Generator:
    stream = generator(attempt, "area")
    torch.rand(4, generator=stream, dtype=torch.float64)
    return stream


def test_soft_cross_entropy_is_the_two_term_loss() -> None:
    images, targets = batch()
    images = images.double()
    logits = torch.randn(6, 3, generator=generator(0, "logits"), dtype=torch.float64)
    for attempt in range(10):
        _, soft = cutmix(images, targets, 3, 1.0, generator(attempt, "mix"))
        stream = generator(attempt, "mix")
        _, share, down, across = torch.rand(4, generator=stream, dtype=torch.float64).tolist()
        partner = torch.randperm(6, generator=stream)
        half = int(8 * math.sqrt(share)) // 2
        area = 1
        for centre in (int(down * 8), int(across * 8)):
            area *= min(centre + half, 8) - max(centre - half, 0)
        ratio = 1 - area / 64
        own, other = F.cross_entropy(logits, targets), F.cross_entropy(logits, targets[partner])
        torch.testing.assert_close(
            F.cross_entropy(logits, soft), ratio * own + (1 - ratio) * other, rtol=1e-12, atol=1e-12
        )


def test_soft_targets_are_mixed_as_the_hard_ones_that_they_spell() -> None:
    images, targets = batch()
    for attempt in range(5):
        hard = cutmix(images, targets, 3, 0.7, generator(attempt, "mix"))
        soft = cutmix(images, F.one_hot(targets, 3).float(), 3, 0.7, generator(attempt, "mix"))
        assert torch.equal(hard[0], soft[0])
        assert torch.equal(hard[1], soft[1])
    smooth = torch.full((6, 3), 1 / 3)
    _, mixed = cutmix(images, smooth, 3, 1.0, generator(0, "mix"))
    torch.testing.assert_close(mixed, smooth)


def test_a_batch_is_mixed_with_the_probability_and_its_targets_are_soft_either_way() -> None:
    images, targets = batch(n=8, size=4)
    one_hot, mixed = F.one_hot(targets, 3).float(), 0
    for attempt in range(600):
        out, soft = cutmix(images, targets, 3, 0.3, generator(attempt, "mix"))
        assert (soft.dtype, soft.shape) == (torch.float32, (8, 3))
        if torch.equal(out, images):
            assert torch.equal(soft, one_hot)
        else:  # the probability decides whether a batch is mixed, and never how
            always = cutmix(images, targets, 3, 1.0, generator(attempt, "mix"))
            assert torch.equal(out, always[0])
            assert torch.equal(soft, always[1])
            mixed += 1
    # A quarter of the boxes is empty: int(4 sqrt(1 - lambda)) // 2 = 0 where 1 - lambda < 1/4.
    assert abs(mixed - 600 * 0.3 * 0.75) < 4 * math.sqrt(600 * 0.225 * 0.775)


def test_probability_zero_leaves_the_batch_and_the_generator_alone() -> None:
    images, targets = batch()
    stream = generator(0, "mix")
    before = stream.get_state()
    out, same = cutmix(images, targets, 3, 0.0, stream)
    assert out is images
    assert same is targets
    assert torch.equal(stream.get_state(), before)


def test_what_is_given_stays_as_it_was_and_the_global_state_plays_no_part() -> None:
    images, targets = batch()
    soft = F.one_hot(targets, 3).float()
    copies = images.clone(), targets.clone(), soft.clone()
    before = torch.random.get_rng_state()
    for attempt in range(5):
        cutmix(images, targets, 3, 1.0, generator(attempt, "mix"))
        cutmix(images, soft, 3, 1.0, generator(attempt, "mix"))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip((images, targets, soft), copies, strict=True))


@pytest.mark.gpu
def test_the_same_draw_does_the_same_on_a_gpu() -> None:
    images, targets = batch(size=32)
    for attempt in range(4):
        on_cpu = cutmix(images, targets, 3, 0.8, generator(attempt, "mix"))
        on_gpu = cutmix(images.cuda(), targets.cuda(), 3, 0.8, generator(attempt, "mix"))
        assert torch.equal(on_cpu[0], on_gpu[0].cpu())
        torch.testing.assert_close(on_cpu[1], on_gpu[1].cpu())
