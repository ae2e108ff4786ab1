"""What n trials give: the expected best of n, and the best so far, against what they cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts


def expected_best(values: Sequence[float]) -> list[float]:
    """Expected maximum of n of the N values, drawn without replacement, for n = 1..N.

    With the values sorted, v_(1) <= ... <= v_(N), the maximum of n of them is v_(i) in C(i - 1, n - 1) of the
    C(N, n) equally likely draws: E_n = sum_i v_(i) C(i - 1, n - 1) / C(N, n).
    """
    ordered, count = sorted(values), len(values)
    found = []
    for n in range(1, count + 1):
        weight, total = (
            n / count,
            0.0,
        )  # of the largest; that of the next smaller one is (i - n) / (i - 1) of it
        for place in range(count, n - 1, -1):
            total += weight * ordered[place - 1]
            weight *= (place - n) / max(place - 1, 1)
        found.append(total)
    return found


def trial_values(facts: StudyFacts) -> list[tuple[float, float]]:
    """(validation accuracy, seconds) of every trial that has ended, by number.

    A trial that was stopped early counts with its last accuracy, which is what the search got from it; one without any
    accuracy, as those that diverged at once, with the lowest of the others.
    """
    ended = [trial for trial in facts.trials if trial.record.outcome not in ("running", "interrupted")]
    known = [trial.record.val_accuracy for trial in ended if trial.record.val_accuracy is not None]
    lowest = min(known, default=0.0)
    return [
        (lowest if trial.record.val_accuracy is None else trial.record.val_accuracy, trial.seconds)
        for trial in ended
        if known
    ]


def best_so_far(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """(seconds, best accuracy) after each trial, in the order of their numbers."""
    found, seconds, best = [], 0.0, -math.inf
    for accuracy, took in pairs:
        seconds, best = seconds + took, max(best, accuracy)
        found.append((seconds, best))
    return found
