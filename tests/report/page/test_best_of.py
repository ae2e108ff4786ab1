import itertools
import random

import pytest

from raydd.report.page.best_of import best_so_far, expected_best


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_the_expected_best_is_the_mean_over_all_subsets(count):
    values = [random.Random(count).choice([0.1, 0.4, 0.4, 0.7, 0.9]) for _ in range(count)]
    for n, expected in enumerate(expected_best(values), 1):
        subsets = list(itertools.combinations(values, n))
        assert expected == pytest.approx(sum(map(max, subsets)) / len(subsets))


def test_one_trial_gives_the_mean_and_all_give_the_best():
    found = expected_best([0.2, 0.8, 0.5])
    assert found == pytest.approx([0.5, (0.8 + 0.5 + 0.8) / 3, 0.8])
    assert expected_best([]) == []


def test_the_best_of_many_hundred_is_no_overflow():
    values = [index / 1000 for index in range(1000)]
    found = expected_best(values)
    assert found[0] == pytest.approx(0.4995)
    assert found[-1] == pytest.approx(0.999)
    assert found == sorted(found)


def test_the_best_so_far_adds_up_seconds_and_never_falls():
    assert best_so_far([(0.5, 10.0), (0.4, 1.0), (0.7, 2.0)]) == [(10.0, 0.5), (11.0, 0.5), (13.0, 0.7)]
