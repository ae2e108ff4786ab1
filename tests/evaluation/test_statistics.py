from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from raydd.evaluation import Difference, holm, interval, paired, verdict
from raydd.evaluation.statistics import rank_correlation


def test_interval_of_a_textbook_example() -> None:
    # 1..5: mean 3, sd sqrt(2.5), t_{0.975, 4} = 2.7764
    found = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert found.sd == pytest.approx(math.sqrt(2.5), rel=1e-12)
    assert found.high - 3.0 == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-6)
    assert 3.0 - found.low == pytest.approx(found.high - 3.0, rel=1e-12)
    assert found.n == 5


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_interval_agrees_with_scipy(n: int, confidence: float) -> None:
    values = np.random.default_rng(n).normal(0.6, 0.02, n)
    found = interval(values.tolist(), confidence)
    low, high = scipy.stats.t.interval(confidence, n - 1, loc=values.mean(), scale=scipy.stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-10)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        found = interval(rng.normal(0.5, 0.1, 4).tolist(), 0.9)
        hits += found.low <= 0.5 <= found.high
    assert 0.88 <= hits / 2000 <= 0.92


def test_one_value_has_no_interval_and_none_is_refused() -> None:
    found = interval([0.5])
    assert (found.mean, found.n) == (0.5, 1)
    assert math.isnan(found.sd)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    with pytest.raises(ValueError, match="at least one value"):
        interval([])


def test_equal_values_have_an_interval_without_width() -> None:
    found = interval([0.1] * 7)  # their float sum is not 0.7
    assert (found.mean, found.sd, found.low, found.high) == (0.1, 0.0, 0.1, 0.1)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_paired_difference_agrees_with_scipys_paired_t_test(n: int) -> None:
    rng = np.random.default_rng(n)
    b = rng.normal(0.5, 0.1, n)
    a = b + rng.normal(0.01, 0.01, n)
    found = paired(a.tolist(), b.tolist())
    test = scipy.stats.ttest_rel(a, b)
    bounds = test.confidence_interval(0.95)
    assert found.mean == pytest.approx(float(np.mean(a - b)), rel=1e-12)
    assert (found.low, found.high, found.p) == pytest.approx((bounds.low, bounds.high, test.pvalue), rel=1e-8)
    assert found.n == n
    swapped = paired(b.tolist(), a.tolist())
    assert (swapped.mean, swapped.low, swapped.high, swapped.p) == (
        -found.mean,
        -found.high,
        -found.low,
        found.p,
    )


def test_pairing_finds_what_the_spread_over_seeds_hides() -> None:
    a, b = [0.41, 0.52, 0.63, 0.71], [0.40, 0.50, 0.62, 0.70]
    assert paired(a, b).p < 0.02
    assert scipy.stats.ttest_ind(a, b).pvalue > 0.8


def test_equal_differences_have_no_spread_to_judge_by() -> None:
    assert paired([0.3, 0.5], [0.3, 0.5]) == Difference(0.0, 0.0, 0.0, 2, 1.0)
    assert paired([0.75, 0.5, 1.0], [0.5, 0.25, 0.75]) == Difference(0.25, 0.25, 0.25, 3, 1.0)
    text = verdict("winner", "random", paired([0.25, 0.5], [0.5, 0.75]), 1.0)
    assert (
        text
        == "winner - random: not resolved (-25.0 [-25.0, -25.0], the same in all 2 pairs: no spread to judge by)"
    )


def test_one_pair_decides_nothing() -> None:
    found = paired([0.75], [0.5])
    assert (found.mean, found.n, found.p) == (0.25, 1, 1.0)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_unpaired_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="equal lengths, got 2 and 1"):
        paired([0.1, 0.2], [0.1])


@pytest.mark.parametrize(
    ("ps", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),  # 3 x .01; 2 x .03; max(.06, 1 x .04)
        ([0.04, 0.01], [0.04, 0.02]),
        ([0.6, 0.5, 0.9], [1.0, 1.0, 1.0]),
        ([0.0, 0.0, 1.0], [0.0, 0.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm_of_hand_computed_examples(ps: list[float], adjusted: list[float]) -> None:
    assert holm(ps) == pytest.approx(adjusted, rel=1e-12)


def test_holm_lies_between_the_raw_p_and_bonferroni() -> None:
    ps = np.random.default_rng(0).uniform(0, 0.2, 8)
    adjusted = np.array(holm(ps.tolist()))
    assert (adjusted >= ps).all()
    assert (adjusted <= np.minimum(1.0, 8 * ps) + 1e-15).all()
    assert (np.argsort(adjusted, kind="stable")[:1] == np.argsort(ps)[:1]).all()


@pytest.mark.parametrize(
    ("difference", "p", "sentence"),
    [
        (Difference(0.031, 0.02, 0.042, 5, 0.001), 0.002, "winner - DM = +3.1 [+2.0, +4.2]"),
        (Difference(-0.031, -0.042, -0.02, 5, 0.001), 0.002, "winner - DM = -3.1 [-4.2, -2.0]"),
        (Difference(0.003, -0.005, 0.011, 5, 0.4), 0.4, "winner - DM: not resolved (+0.3 [-0.5, +1.1])"),
        (Difference(0.031, 0.002, 0.06, 5, 0.04), 0.08, "winner - DM: not resolved (+3.1 [+0.2, +6.0])"),
        (Difference(0.031, 0.002, 0.06, 5, 0.04), 0.05, "winner - DM: not resolved (+3.1 [+0.2, +6.0])"),
        (Difference(0.0, 0.0, 0.0, 3, 1.0), 1.0, "winner - DM: not resolved (+0.0 [+0.0, +0.0])"),
        (Difference(-0.0002, -0.01, 0.0096, 5, 0.9), 0.9, "winner - DM: not resolved (+0.0 [-1.0, +1.0])"),
        (Difference(0.031, math.nan, math.nan, 1, 1.0), 1.0, "winner - DM: not resolved (+3.1, one pair)"),
    ],
)
def test_verdict_says_the_difference_in_points_or_that_it_is_not_resolved(
    difference: Difference, p: float, sentence: str
) -> None:
    assert verdict("winner", "DM", difference, p) == sentence


def test_rank_correlation_has_bonett_and_wrights_interval() -> None:
    a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    b = [2.0, 1.0, 4.0, 3.0, 6.0, 5.0, 8.0, 7.0]
    found = rank_correlation(a, b)
    rho = 1 - 6 * 8 / (8 * 63)  # 1 - 6 sum d^2 / (n (n^2 - 1)), every d is 1
    reach = 1.96 * math.sqrt((1 + rho**2 / 2) / 5)
    assert found.value == pytest.approx(rho)
    assert found.low == pytest.approx(math.tanh(math.atanh(rho) - reach))
    assert found.high == pytest.approx(math.tanh(math.atanh(rho) + reach))
    assert rank_correlation(a, a).value == pytest.approx(1.0)
    with pytest.raises(ValueError, match="at least 4 pairs"):
        rank_correlation([1, 2, 3], [1, 2, 3])
    with pytest.raises(ValueError, match="values that differ"):
        rank_correlation([1, 1, 1, 1], [1, 2, 3, 4])
