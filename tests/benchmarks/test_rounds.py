from __future__ import annotations

import math

import pytest

from benchmarks.case import Side, Work
from benchmarks.results import relative_distance
from benchmarks.rounds import Round, Spread, enough, kept, paired_ratio, peak_share, seconds


def round_(reference: float, ours: float | None, foreign: float | None = 0.0) -> Round:
    found = {"reference": reference} if ours is None else {"reference": reference, "ours": ours}
    return Round(found, foreign, {"fp32": 100.0, "bf16": 400.0})


def side(precision: str, *skips: str) -> Side:
    return Side("ours", lambda settings: Work(), precision, frozenset(skips))


def test_a_ratio_is_the_median_of_the_ratios_within_rounds_not_the_ratio_of_medians() -> None:
    rounds = [round_(4.0, 1.0), round_(9.0, 3.0), round_(5.0, 5.0)]
    assert paired_ratio(rounds, "reference", "ours") == Spread(3.0, 1.0, 4.0)
    assert seconds(rounds, "reference") == Spread(5.0, 4.0, 9.0)
    assert seconds(rounds, "ours") == Spread(3.0, 1.0, 5.0)


def test_a_round_that_lacks_a_side_counts_for_the_others_only() -> None:
    rounds = [round_(4.0, None), round_(6.0, 2.0)]
    assert seconds(rounds, "reference") == Spread(5.0, 4.0, 6.0)
    assert paired_ratio(rounds, "reference", "ours") == Spread(3.0, 3.0, 3.0)
    assert paired_ratio(rounds[:1], "reference", "ours") is None
    assert seconds(rounds[:1], "ours") is None


def test_a_round_is_flagged_above_a_tenth_of_the_cores_and_not_where_nothing_is_known() -> None:
    flags = [round_(1.0, 1.0, foreign).flagged for foreign in (None, 0.0, 0.10, 0.11, 1.0)]
    assert flags == [False, False, False, True, True]


def test_flagged_rounds_are_repeated_until_there_are_enough_or_too_many() -> None:
    clean, loaded = round_(1.0, 1.0), round_(1.0, 1.0, 0.5)
    assert not enough([clean], 2, 3)
    assert enough([clean, clean], 2, 3)
    assert not enough([clean, loaded], 2, 3)
    assert not enough([clean, loaded, loaded, loaded], 2, 3)
    assert enough([clean, loaded, clean], 2, 3)
    assert enough([clean, loaded, loaded, loaded, loaded], 2, 3)


def test_unflagged_rounds_count_first_and_then_those_with_the_least_foreign_load() -> None:
    loads = [0.9, 0.0, 0.3, 0.05, 0.2]
    rounds = [round_(float(i), 1.0, load) for i, load in enumerate(loads)]
    chosen = {wanted: [int(r.seconds["reference"]) for r in kept(rounds, wanted)] for wanted in (1, 2, 3, 5)}
    assert chosen == {1: [1], 2: [1, 3], 3: [1, 3, 4], 5: [0, 1, 2, 3, 4]}


def test_the_first_rounds_count_where_all_are_unflagged() -> None:
    rounds = [round_(float(i), 1.0, load) for i, load in enumerate([0.09, 0.08, 0.0])]
    assert [r.seconds["reference"] for r in kept(rounds, 2)] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("how", "ideal"),
    [
        (side("fp32"), 8.0),  # (600 + 200) / 100
        (side("mixed"), 3.5),  # 600 / 400 + 200 / 100
        (side("bf16"), 2.0),  # 800 / 400
        (side("fp32", "real"), 2.0),
    ],
)
def test_the_share_of_the_peak_is_ideal_time_over_measured_time(how: Side, ideal: float) -> None:
    flops = {"real": 600.0, "synthetic": 200.0}
    shares = peak_share([round_(20.0, 10.0), round_(20.0, 20.0), round_(20.0, 40.0)], how, flops)
    assert shares == Spread(ideal / 20, ideal / 40, ideal / 10)


def test_there_is_no_share_without_flops_or_without_a_peak() -> None:
    assert peak_share([round_(1.0, 1.0)], side("fp32"), {}) is None
    assert peak_share([Round({"ours": 1.0}, 0.0, {})], side("fp32"), {"real": 1.0}) is None


def test_values_that_are_not_numbers_never_agree() -> None:
    assert relative_distance(2.2, 2.0) == pytest.approx(0.1)
    assert relative_distance(-2.0, 2.0) == 2.0
    assert relative_distance(math.nan, 2.0) == math.inf
    assert relative_distance(0.0, 0.0) == 0.0
