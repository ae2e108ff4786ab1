"""Intervals, paired differences and verdicts; the unit of replication is the distillation run.

Every value is the mean over the networks of one distillation run. Pooling networks over runs would make
the intervals far too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit


@dataclass(frozen=True)
class Interval:
    """Mean, sample sd (ddof 1) and t-interval of n values; sd, low and high are NaN for n = 1."""

    mean: float
    sd: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference:
    """Mean of n paired differences, its 95 % t-interval (NaN for n = 1) and two-sided p (1 for n = 1)."""

    mean: float
    low: float
    high: float
    n: int
    p: float


def interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's interval of the mean over runs: mean +- t_{(1+confidence)/2, n-1} sd / sqrt(n).

    Args:
        values: one value a run, at least one.
        confidence: coverage, in (0, 1).

    Raises:
        ValueError: no values.
    """
    array = np.asarray(values, dtype=np.float64)
    n = array.size
    if n == 0:
        raise ValueError("an interval needs at least one value")
    if n == 1:
        return Interval(float(array[0]), math.nan, math.nan, math.nan, 1)
    if np.ptp(array) == 0.0:  # rounding of the mean would give equal values a tiny spread
        mean, sd = float(array[0]), 0.0
    else:
        mean, sd = float(array.mean()), float(array.std(ddof=1))
    half = float(stdtrit(n - 1, (1.0 + confidence) / 2.0)) * sd / math.sqrt(n)
    return Interval(mean, sd, mean - half, mean + half, n)


def paired(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Paired t-test of a - b; `a[i]` and `b[i]` are runs with the same seed.

    Differences that are all equal have no spread to test against: accuracies are shares of a few thousand images, and
    two runs differ by the same share by chance. p is 1 then.

    Raises:
        ValueError: the lengths differ, or are zero.
    """
    if len(a) != len(b):
        raise ValueError(f"paired values need equal lengths, got {len(a)} and {len(b)}")
    found = interval((np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)).tolist())
    if found.n == 1 or found.sd == 0.0:
        p = 1.0
    else:
        t = abs(found.mean) / (found.sd / math.sqrt(found.n))
        p = 2.0 * float(stdtr(found.n - 1, -t))
    return Difference(found.mean, found.low, found.high, found.n, p)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p, in the order given: max over j <= i of (m - j) p_(j), at most 1 (j from 0)."""
    m = len(ps)
    adjusted, running = [0.0] * m, 0.0
    for rank, position in enumerate(sorted(range(m), key=lambda i: ps[i])):
        running = max(running, min(1.0, (m - rank) * ps[position]))
        adjusted[position] = running
    return adjusted


def verdict(name_a: str, name_b: str, difference: Difference, adjusted_p: float) -> str:
    """One line about a - b in percentage points, or "not resolved".

    Resolved means that the interval lies on one side of zero and `adjusted_p` (after `holm`) is below 0.05.

    >>> verdict("winner", "DM", Difference(0.031, 0.02, 0.042, 5, 0.001), 0.002)
    'winner - DM = +3.1 [+2.0, +4.2]'
    >>> verdict("winner", "DM", Difference(0.003, -0.005, 0.011, 5, 0.4), 0.8)
    'winner - DM: not resolved (+0.3 [-0.5, +1.1])'
    """
    numbers = _points(difference.mean)
    if difference.n > 1:
        numbers += f" [{_points(difference.low)}, {_points(difference.high)}]"
    if (difference.low > 0.0 or difference.high < 0.0) and adjusted_p < 0.05:
        return f"{name_a} - {name_b} = {numbers}"
    why = ""
    if difference.n == 1:
        why = ", one pair"
    elif difference.low == difference.high != 0.0:
        why = f", the same in all {difference.n} pairs: no spread to judge by"
    return f"{name_a} - {name_b}: not resolved ({numbers}{why})"


def _points(fraction: float) -> str:
    return f"{round(100.0 * fraction, 1) + 0.0:+.1f}"  # adding zero turns -0.0 into +0.0


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of n pairs, with its 95 % interval on Fisher's scale."""

    value: float
    low: float
    high: float
    n: int


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> Correlation:
    """Spearman's rho with the interval of Bonett and Wright: tanh(atanh rho +- 1.96 sqrt((1 + rho^2/2) / (n - 3))).

    Args:
        a, b: paired values, at least four pairs, neither all equal.

    Raises:
        ValueError: fewer pairs, other lengths, or values that are all equal.
    """
    from scipy.stats import spearmanr

    if len(a) != len(b) or len(a) < 4:
        raise ValueError(f"a rank correlation needs at least 4 pairs, got {len(a)} and {len(b)} values")
    if len(set(a)) == 1 or len(set(b)) == 1:
        raise ValueError("a rank correlation needs values that differ")
    rho = float(spearmanr(a, b).statistic)
    rho = max(-1 + 1e-12, min(1 - 1e-12, rho))  # a perfect order has no place on Fisher's scale
    reach = 1.96 * math.sqrt((1 + rho**2 / 2) / (len(a) - 3))
    low, high = (math.tanh(math.atanh(rho) + sign * reach) for sign in (-1, 1))
    return Correlation(rho, low, high, len(a))
