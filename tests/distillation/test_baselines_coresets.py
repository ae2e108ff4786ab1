import math

import pytest
import torch

from raydd.distillation.baselines import CORESETS, herding, k_center
from raydd.errors import DataError


def mean_of(rows):
    return [sum(column) / len(rows) for column in zip(*rows)]


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)))


def herding_by_loops(rows, n):
    chosen = []
    for _ in range(n):
        best, smallest = None, math.inf
        for i in range(len(rows)):
            if i not in chosen:
                gap = distance(mean_of(rows), mean_of([rows[j] for j in [*chosen, i]]))
                if gap < smallest:
                    best, smallest = i, gap
        chosen.append(best)
    return chosen


def k_center_by_loops(rows, n):
    gaps = [distance(row, mean_of(rows)) for row in rows]
    chosen = [gaps.index(min(gaps))]
    while len(chosen) < n:
        best, largest = None, -math.inf
        for i in range(len(rows)):
            if i not in chosen:
                gap = min(distance(rows[i], rows[j]) for j in chosen)
                if gap > largest:
                    best, largest = i, gap
        chosen.append(best)
    return chosen


def features(seed, n=23, d=7):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_four_numbers_are_chosen_as_by_hand():
    # mean 3.25; pairs with 2 have means 1, 1.5 and 6; triples with 1 and 2 have means 1 and 4.33
    line = torch.tensor([[0.0], [1.0], [2.0], [10.0]])
    assert herding(line, 4).tolist() == [2, 1, 3, 0]
    # 10 is 8 away from 2; then 0 is 2 away from 2, and 1 only 1
    assert k_center(line, 4).tolist() == [2, 3, 0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_both_are_their_equations_written_as_loops(seed):
    rows = features(seed)
    assert herding(rows, 9).tolist() == herding_by_loops(rows.tolist(), 9)
    assert k_center(rows, 9).tolist() == k_center_by_loops(rows.tolist(), 9)


@pytest.mark.parametrize("name", sorted(CORESETS))
def test_a_larger_coreset_begins_with_the_smaller_one_and_ends_with_every_image_once(name):
    rows = features(1)
    whole = CORESETS[name](rows, 23)
    assert whole.dtype == torch.int64
    assert CORESETS[name](rows, 6).tolist() == whole[:6].tolist()
    assert sorted(whole.tolist()) == list(range(23))


@pytest.mark.parametrize("name", sorted(CORESETS))
def test_of_equal_images_the_first_is_taken_and_each_once(name):
    rows = features(2, n=5).repeat(4, 1)
    chosen = CORESETS[name](rows, 20).tolist()
    assert sorted(chosen) == list(range(20))
    for kind in range(5):
        assert [i for i in chosen if i % 5 == kind] == [kind, kind + 5, kind + 10, kind + 15]
    assert CORESETS[name](torch.ones(4, 3), 3).tolist() == [0, 1, 2]


def test_near_images_far_from_zero_are_told_apart():
    # at 1e4 neighbouring float32 numbers are 1e-3 apart, and their squares 1e2: products would drown the difference
    rows = 1e4 + 1e-2 * features(3)
    assert herding(rows, 5).tolist() == herding_by_loops(rows.tolist(), 5)
    assert k_center(rows, 5).tolist() == k_center_by_loops(rows.tolist(), 5)


@pytest.mark.parametrize("name", sorted(CORESETS))
@pytest.mark.parametrize("n", [0, 4])
def test_as_many_images_as_there_are_can_be_chosen(name, n):
    with pytest.raises(DataError, match=f"^{n} images are to be chosen of 3; 1 to 3 are possible$"):
        CORESETS[name](torch.rand(3, 2), n)
