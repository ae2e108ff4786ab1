"""Measures of distilled images, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from raydd import measures
from raydd.errors import ConfigError
from raydd.measures import (
    border_share,
    hard_label_recovery,
    improvement_over_random,
    mue,
    region_switch_rate,
)


def test_mue_by_hand_in_both_scales() -> None:
    maps = torch.tensor([[[1.0, 2.0], [3.0, 5.0]], [[0.0, 0.0], [0.0, 4.0]]])
    assert mue(maps) == pytest.approx(((0 + 1 / 4 + 2 / 4 + 1) / 4 + 1 / 4) / 2, rel=1e-12)
    assert mue(maps, "max") == pytest.approx(((1 + 2 + 3 + 5) / 5 / 4 + 1 / 4) / 2, rel=1e-12)


def test_mue_of_constant_maps() -> None:
    zero, three = torch.zeros(1, 4, 4), torch.full((1, 4, 4), 3.0)
    assert (mue(zero), mue(zero, "max")) == (0.0, 0.0)
    assert (mue(three), mue(three, "max")) == (0.0, 1.0)
    assert mue(-three) == 0.0


def test_mue_of_min_max_knows_neither_scale_nor_offset() -> None:
    maps = torch.rand(5, 6, 6, generator=torch.Generator().manual_seed(0))
    assert mue(100.0 * maps - 40.0) == pytest.approx(mue(maps), rel=1e-4)
    assert mue(100.0 * maps, "max") == pytest.approx(mue(maps, "max"), rel=1e-6)
    assert 0.0 < mue(maps) < mue(maps, "max") < 1.0


def test_mue_of_one_used_half_is_a_half() -> None:
    maps = torch.zeros(2, 4, 4)
    maps[:, :2] = 7.0
    assert mue(maps) == mue(maps, "max") == 0.5


def test_bad_maps_and_scales_are_named() -> None:
    with pytest.raises(ConfigError, match="scale: unknown scale 'minmax': did you mean 'min_max'"):
        mue(torch.ones(1, 2, 2), "minmax")
    with pytest.raises(ConfigError, match="scale: 'max' needs activations >= 0, got -2; 'min_max' takes any"):
        mue(torch.tensor([[[1.0, -2.0]]]), "max")
    with pytest.raises(ValueError, match=r"maps of shape \(N, H, W\), none of them 0, got \(2, 2\)"):
        mue(torch.ones(2, 2))


def test_switch_rate_is_the_share_of_new_boxes_whatever_their_order() -> None:
    before = torch.tensor([[[0, 0, 4], [8, 8, 4]], [[0, 0, 4], [4, 4, 4]]])
    assert region_switch_rate(before, before) == 0.0
    assert region_switch_rate(before, before.flip(1)) == 0.0
    after = torch.tensor([[[0, 0, 4], [8, 4, 4]], [[0, 0, 4], [4, 4, 4]]])
    assert region_switch_rate(before, after) == 0.25
    assert region_switch_rate(before, before + 100) == 1.0
    # another image's box is none of mine, and another side is another box
    assert region_switch_rate(before[:1, :1], before[1:, 1:]) == 1.0
    assert region_switch_rate(torch.tensor([[[0, 0, 4]]]), torch.tensor([[[0, 0, 5]]])) == 1.0


def test_switch_rate_refuses_boxes_of_two_shapes() -> None:
    with pytest.raises(ValueError, match=r"one shape \(N, R, 3\), got \(1, 2, 3\) and \(1, 1, 3\)"):
        region_switch_rate(torch.zeros(1, 2, 3), torch.zeros(1, 1, 3))


def border_loop(boxes: list[list[int]], size: int) -> float:
    """Counted in half pixels."""
    band, border, area = size / 8, 0, 0
    for y0, x0, side in boxes:
        for y in range(2 * y0, 2 * (y0 + side)):
            for x in range(2 * x0, 2 * (x0 + side)):
                area += 1
                centres = ((y + 0.5) / 2, (x + 0.5) / 2)
                border += min(min(c, size - c) for c in centres) < band
    return border / area


@pytest.mark.parametrize("size", [28, 32])
def test_border_share_counts_the_area_within_an_eighth_of_the_side(size: int) -> None:
    whole, corner, middle = [0, 0, size], [0, 0, size // 4], [size // 4, size // 4, size // 2]
    assert border_share(torch.tensor([whole]), size) == pytest.approx(7 / 16)
    assert border_share(torch.tensor([corner]), size) == pytest.approx(3 / 4)
    assert border_share(torch.tensor([middle]), size) == 0.0
    assert border_share(torch.tensor([[0, 0, 2], [size - 2, 9, 2]]), size) == 1.0
    boxes = [[0, 3, 9], [10, 12, 7], [size - 5, 2, 5], whole]
    assert border_share(torch.tensor([boxes]), size) == pytest.approx(border_loop(boxes, size), rel=1e-12)


def test_border_share_needs_boxes() -> None:
    with pytest.raises(ValueError, match=r"shape \(..., 3\) and not be empty, got \(0, 3\)"):
        border_share(torch.zeros(0, 3), 32)


def test_hlr_is_what_full_data_have_over_the_set_with_hard_labels() -> None:
    assert hard_label_recovery(full=0.95, hard=0.6) == pytest.approx(0.35)
    assert hard_label_recovery(0.5, 0.5) == 0.0
    assert hard_label_recovery(0.4, 0.5) == pytest.approx(-0.1)  # a set may be better than all of the data


def test_ior_is_what_the_set_has_over_random_images() -> None:
    assert improvement_over_random(own=0.7, random=0.65) == pytest.approx(0.05)
    assert improvement_over_random(0.6, 0.65) == pytest.approx(-0.05)


@pytest.mark.parametrize("measure", [hard_label_recovery, improvement_over_random])
def test_accuracies_in_percent_are_refused(measure) -> None:
    with pytest.raises(ValueError, match=r"must be an accuracy in \[0, 1\], got 95"):
        measure(95.0, 0.6)
    with pytest.raises(ValueError, match=r"in \[0, 1\], got nan"):
        measure(0.9, float("nan"))


def test_feature_distance_equals_a_float64_loop():
    torch.manual_seed(0)
    features, real = torch.randn(5, 7), 2.0 * torch.randn(9, 7)

    def loop(rows):
        values = [[float(value) for value in row] for row in rows]
        total, pairs = 0.0, 0
        for i, one in enumerate(values):
            for other in values[i + 1 :]:
                total += math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other)))
                pairs += 1
        return total / pairs

    expected = loop(features) / loop(real)
    assert measures.feature_distance(features, real) == pytest.approx(expected, rel=1e-12)
    assert measures.feature_distance(real, real) == 1.0
    assert measures.feature_distance(3.0 * real, real) == pytest.approx(3.0, rel=1e-6)


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (4,)])
def test_one_image_has_no_feature_distance(shape):
    with pytest.raises(ValueError, match="n >= 2"):
        measures.feature_distance(torch.zeros(shape), torch.eye(3))
    with pytest.raises(ValueError, match="one and the same feature"):
        measures.feature_distance(torch.eye(3), torch.ones(4, 3))


def test_class_separation_equals_a_float64_loop():
    torch.manual_seed(1)
    features, labels = torch.randn(12, 4), torch.tensor([3, 5, 9] * 4)
    rows = [[float(value) for value in row] for row in features]
    means = {}
    for class_ in (3, 5, 9):
        own = [row for row, label in zip(rows, labels.tolist()) if label == class_]
        means[class_] = [sum(column) / len(own) for column in zip(*own)]

    def distance(one, other):
        return math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other)))

    between = sum(distance(means[a], means[b]) for a, b in ((3, 5), (3, 9), (5, 9))) / 3
    within = sum(distance(row, means[label]) for row, label in zip(rows, labels.tolist())) / len(rows)
    assert measures.class_separation(features, labels) == pytest.approx(between / within, rel=1e-12)
    assert measures.class_separation(7.0 * features, labels) == pytest.approx(between / within, rel=1e-6)


def test_a_separation_needs_two_classes_and_some_width():
    with pytest.raises(ValueError, match="two classes, got 1"):
        measures.class_separation(torch.randn(3, 2), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="no class has two different features"):
        measures.class_separation(torch.eye(2), torch.tensor([0, 1]))
