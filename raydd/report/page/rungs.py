"""Rungs: how many trials reached and survived each, and how well an accuracy there tells the one at the end."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import ndtri

from raydd.report.page.facts import END

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts, TrialFacts

FEWEST = 4  # pairs without which a rank correlation has no interval
MANY = 10  # fewer say little, and a report says so


@dataclass(frozen=True)
class Rung:
    """What became of the trials at one rung.

    Attributes:
        rung: thousandths of the work; 1000 is the end.
        reached: trials that were evaluated there.
        stopped: of these, those that the scheduler stopped there.
        ended: of those that went on, how many ended before the next rung, by outcome (`pruned`: stopped by hand).
    """

    rung: int
    reached: int
    stopped: int
    ended: dict[str, int]

    @property
    def survived(self) -> int:
        """Trials that went on."""
        return self.reached - self.stopped


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of the accuracies at a rung with those at the end, over complete trials.

    Attributes:
        rung: thousandths.
        n: trials.
        rho: in [-1, 1]; None where fewer than `FEWEST` trials, or equal accuracies, leave it undefined.
        low, high: 95 % interval, Fisher's transformation with the variance (1 + rho^2 / 2) / (n - 3) of Bonett and
            Wright (2000); None where rho is.
    """

    rung: int
    n: int
    rho: float | None
    low: float | None
    high: float | None


def survival(facts: StudyFacts) -> list[Rung]:
    """Every rung that a trial has reached, ascending, and the end; empty where the study has no rungs."""
    names = sorted({one.rung for trial in facts.trials for one in trial.evaluations if 0 < one.rung < END})
    if not names:
        return []
    found = []
    for rung, following in zip([*names, END], [*names[1:], END, None]):
        here = [trial for trial in facts.trials if trial.at(rung) is not None]
        stopped = [trial for trial in here if _stopped(facts, trial, rung)]
        ended: Counter[str] = Counter()
        if following is not None:
            beyond = {
                trial.number
                for trial in here
                if any(one.rung >= following for one in trial.evaluations) or trial in stopped
            }
            ended = Counter(trial.record.outcome for trial in here if trial.number not in beyond)
        found.append(Rung(rung, len(here), len(stopped), dict(ended)))
    return found


def _stopped(facts: StudyFacts, trial: TrialFacts, rung: int) -> bool:
    """Whether the scheduler stopped a trial there; a trial may be past a rung when it is asked to stop."""
    return trial.record.outcome == "pruned" and (rung, trial.number) in facts.stopped


def correlations(facts: StudyFacts) -> list[Correlation]:
    """One for every rung before the end."""
    found = []
    for rung in sorted(
        {one.rung for trial in facts.trials for one in trial.evaluations if 0 < one.rung < END}
    ):
        pairs = [(trial.at(rung), trial.at(END)) for trial in facts.complete]
        found.append(correlation(rung, [(a, b) for a, b in pairs if a is not None and b is not None]))
    return found


def correlation(rung: int, pairs: list[tuple[float, float]]) -> Correlation:
    """Spearman's rho of (accuracy at the rung, accuracy at the end), with its interval."""
    from scipy.stats import spearmanr

    n = len(pairs)
    if n < FEWEST:
        return Correlation(rung, n, None, None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # all equal: rho is NaN then, which is said below
        rho = float(spearmanr([a for a, _ in pairs], [b for _, b in pairs]).statistic)
    if not math.isfinite(rho):
        return Correlation(rung, n, None, None, None)
    half = float(ndtri(0.975)) * math.sqrt((1.0 + rho**2 / 2.0) / (n - 3))
    middle = math.atanh(min(max(rho, -1 + 1e-12), 1 - 1e-12))
    return Correlation(rung, n, rho, math.tanh(middle - half), math.tanh(middle + half))
