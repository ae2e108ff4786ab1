"""Normalisation: its equation, its inverse, and constants that are made once."""

from __future__ import annotations

import pickle

import pytest
import torch

from raydd.normalisation import Normalisation

OF = Normalisation((0.5, 0.25, 0.125), (0.5, 0.25, 2.0))


def test_pixels_are_normalised_channel_by_channel_and_back() -> None:
    pixels = torch.rand(2, 3, 4, 4)
    found = OF.apply(pixels)
    for channel, (mean, std) in enumerate([(0.5, 0.5), (0.25, 0.25), (0.125, 2.0)]):
        assert torch.equal(found[:, channel], (pixels[:, channel] - mean) / std)
    torch.testing.assert_close(OF.invert(found), pixels)
    bytes_ = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    assert OF.apply(bytes_).flatten().tolist() == pytest.approx([-1.0, -0.2, 0.4375])
    assert OF.apply(pixels.double()).dtype == torch.float64
    assert OF.apply(pixels.bfloat16()).dtype == torch.float32  # the constants are


def test_constants_of_one_normalisation_do_not_serve_another() -> None:
    pixels = torch.full((1, 1, 1, 1), 0.5)
    values = [
        Normalisation((mean,), (std,)).apply(pixels).item() for mean in (0.0, 0.25) for std in (1.0, 0.5)
    ]
    assert values == [0.5, 1.0, 0.25, 0.5]


def test_gradients_flow_also_where_a_pass_without_them_came_first() -> None:
    fresh = Normalisation((0.375,), (0.75,))
    with torch.inference_mode():
        fresh.apply(torch.ones(1, 1, 2, 2))
    leaf = torch.ones(1, 1, 2, 2, requires_grad=True)
    fresh.apply(leaf).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, torch.full((1, 1, 2, 2), 1 / 0.75))


def test_it_is_pickled_and_compared_by_its_numbers_also_after_use() -> None:
    used = Normalisation((0.1,), (0.2,))
    used.apply(torch.zeros(1, 1, 1, 1))
    assert pickle.dumps(used) == pickle.dumps(Normalisation((0.1,), (0.2,)))
    again = pickle.loads(pickle.dumps(used))
    assert again == used == Normalisation((0.1,), (0.2,))
    assert len({again, used}) == 1
    assert used != Normalisation((0.1,), (0.3,))
