"""Rounds and what is computed from them: which are kept, paired ratios, shares of the peak."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.case import Side

FOREIGN_LIMIT = 0.10
"""Share of the cores that others may have during a round."""


@dataclass(frozen=True)
class Round:
    """Every side measured once, one after the other.

    Attributes:
        seconds: of one unit, by side; a side that failed is not in it.
        foreign: share of the cores that others had, in [0, 1]; None where it cannot be known.
        peak: FLOP/s by precision, measured within the round; empty where the case has no FLOPs.
    """

    seconds: Mapping[str, float]
    foreign: float | None
    peak: Mapping[str, float]

    @property
    def flagged(self) -> bool:
        """Whether others used too much of the machine."""
        return self.foreign is not None and self.foreign > FOREIGN_LIMIT


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of some numbers."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """Of at least one number."""
        return cls(statistics.median(numbers), min(numbers), max(numbers))


def enough(rounds: Sequence[Round], wanted: int, repeats: int) -> bool:
    """Whether `wanted` rounds went unflagged, or as many as are allowed were `repeats` more than wanted."""
    unflagged = sum(not round_.flagged for round_ in rounds)
    return unflagged >= wanted or len(rounds) >= wanted + repeats


def kept(rounds: Sequence[Round], wanted: int) -> list[Round]:
    """The `wanted` rounds that count, in their order: unflagged ones, then those with the least foreign load."""
    order = sorted(range(len(rounds)), key=lambda i: (rounds[i].flagged, rounds[i].foreign or 0.0, i))
    unflagged = [i for i, round_ in enumerate(rounds) if not round_.flagged]
    chosen = unflagged[:wanted] if len(unflagged) >= wanted else order[:wanted]
    return [rounds[i] for i in sorted(chosen)]


def seconds(rounds: Sequence[Round], side: str) -> Spread | None:
    """Seconds of one unit; None where no round has the side."""
    found = [round_.seconds[side] for round_ in rounds if side in round_.seconds]
    return Spread.of(found) if found else None


def paired_ratio(rounds: Sequence[Round], reference: str, side: str) -> Spread | None:
    """How many times faster than the reference: seconds of the reference over ours, within each round."""
    found = [
        round_.seconds[reference] / round_.seconds[side]
        for round_ in rounds
        if reference in round_.seconds and side in round_.seconds
    ]
    return Spread.of(found) if found else None


def peak_share(rounds: Sequence[Round], side: Side, flops: Mapping[str, float]) -> Spread | None:
    """Ideal seconds over measured ones, within each round.

    The ideal is the time that the side's FLOPs take at the speed of the peak convolution in the precision
    of each part; parts that the side skips are left out.
    """
    parts = {part: amount for part, amount in flops.items() if part not in side.skips}
    found = []
    for round_ in rounds:
        if parts and round_.peak and side.name in round_.seconds:
            ideal = sum(amount / round_.peak[side.precision_of(part)] for part, amount in parts.items())
            found.append(ideal / round_.seconds[side.name])
    return Spread.of(found) if found else None
