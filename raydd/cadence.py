"""When a trial reports and when it is evaluated: decided by the work done, never by a clock.

Evaluations happen on the initial images, exactly at the rungs and at the end. Progress is the share of
the work that is done; rungs are named by progress in integer thousandths.
"""

from __future__ import annotations

from dataclasses import dataclass

REPORTS = 20  # reports per full trial besides the rungs: enough for a curve and a progress bar
MEASURE = "measure/"  # what a report's row calls `Distiller.measures`; MLflow has them without it
SMALLEST_STUDY = 16  # fewer trials hold too little information to stop any of them early
LOWEST_RUNG = 1 / 30  # below this nearly nothing but the initial images would be compared


def rungs(reduction_factor: int, progress_floor: float) -> tuple[float, ...]:
    """Progress values 1/reduction_factor^k, ascending, not below `progress_floor` nor 1/30.

    >>> [round(rung, 3) for rung in rungs(3, 0.0)]
    [0.037, 0.111, 0.333]
    """
    lowest = max(progress_floor, LOWEST_RUNG)
    values = []
    share = 1.0 / reduction_factor
    while share >= lowest:
        values.append(share)
        share /= reduction_factor
    return tuple(reversed(values))


def thousandths(progress: float) -> int:
    """Name of a rung: its progress in integer thousandths."""
    return round(progress * 1000)


@dataclass(frozen=True)
class Cadence:
    """The milestones of one trial.

    Attributes:
        rungs: progress values at which the trial is evaluated, ascending, each in (0, 1).
        report_every: iterations between reports.
    """

    rungs: tuple[float, ...]
    report_every: int

    @classmethod
    def of(cls, iterations: int, *, scheduler: str, reduction_factor: int, progress_floor: float) -> Cadence:
        """The cadence of a study; without a scheduler there is nothing to compare on the way, so no rungs."""
        chosen = rungs(reduction_factor, progress_floor) if scheduler == "asha" else ()
        return cls(chosen, max(1, -(-iterations // REPORTS)))

    def rung_crossed(self, before: float, after: float) -> int | None:
        """Thousandths of the highest rung in (before, after], or None; 1e-9 absorbs the rounding of i/n."""
        crossed = [rung for rung in self.rungs if before + 1e-9 < rung <= after + 1e-9]
        return thousandths(crossed[-1]) if crossed else None
