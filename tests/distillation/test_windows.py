"""Candidate windows and sources, by hand."""

from __future__ import annotations

import pytest
import torch

from raydd.distillation.windows import sources, windows
from raydd.errors import ConfigError


def test_three_by_three_half_windows_are_flush_with_the_border_and_row_major() -> None:
    assert windows(16, 3, 0.5).tolist() == [[y, x, 8] for y in (0, 4, 8) for x in (0, 4, 8)]


def test_a_scale_of_one_over_n_tiles_the_source() -> None:
    covered = torch.zeros(12, 12)
    for y, x, side in windows(12, 3, 1 / 3).tolist():
        covered[y : y + side, x : x + side] += 1
    assert torch.equal(covered, torch.ones(12, 12))


@pytest.mark.parametrize("side", [1, 4, 5, 14, 16, 28, 32, 33])
@pytest.mark.parametrize("scale", [0.01, 1 / 3, 0.5, 5 / 6, 1.0])
@pytest.mark.parametrize("grid_size", [1, 2, 3, 6])
def test_windows_lie_within_the_source_reach_its_border_and_differ(
    side: int, scale: float, grid_size: int
) -> None:
    found = windows(side, grid_size, scale)
    start, window = found[:, :2], found[:, 2:]
    assert found.dtype == torch.int64
    assert (start >= 0).all()
    assert (start + window <= side).all()
    assert (window == max(1, round(scale * side))).all()
    if grid_size > 1:
        assert start.min() == 0
        assert (start + window).max() == side
    assert len({tuple(row) for row in found.tolist()}) == len(found) <= grid_size**2


def test_one_position_is_the_centre() -> None:
    assert windows(16, 1, 0.5).tolist() == [[4, 4, 8]]


def test_windows_that_rounding_makes_equal_are_kept_once() -> None:
    assert windows(8, 3, 1.0).tolist() == [[0, 0, 8]]
    assert len(windows(4, 3, 0.75)) == 4  # starts 0, 0 (0.5 rounded), 1


def test_several_scales_pool_their_windows_in_their_order() -> None:
    both = windows(16, 2, (0.5, 0.25))
    assert both.tolist() == windows(16, 2, 0.5).tolist() + windows(16, 2, 0.25).tolist()


def test_cells_of_multi_formation_are_the_sources() -> None:
    assert sources(32, 2).tolist() == [[0, 0, 16], [0, 16, 16], [16, 0, 16], [16, 16, 16]]
    assert sources(32, 1).tolist() == [[0, 0, 32]]
    assert sources(32, 2, "image").tolist() == [[0, 0, 32]]


def test_cells_that_do_not_divide_the_image_are_moved_inwards() -> None:
    assert sorted({y for y, _, _ in sources(32, 3).tolist()}) == [0, 11, 21]
    assert set(sources(32, 3)[:, 2].tolist()) == {11}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: windows(16, 0), r"grid_size: .* n >= 1, got 16 and 0"),
        (lambda: windows(16, 3, 0.0), r"region_scale: must be in \(0, 1\], or several such, got \(0.0,\)"),
        (lambda: windows(16, 3, (0.5, 1.5)), r"region_scale: .* got \(0.5, 1.5\)"),
        (lambda: windows(16, 3, ()), r"region_scale: .* got \(\)"),
        (lambda: sources(8, 9), "factor: must be 1 to 8 on images of 8 px, got 9"),
        (
            lambda: sources(8, 2, "subimage"),
            "region_source: unknown source 'subimage': did you mean 'sub_image'",
        ),
    ],
)
def test_bad_arguments_are_named(call, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()
