"""What was measured of a case: its rounds, its sides, and what has to be said about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.case import Case
from benchmarks.rounds import Round, kept


@dataclass
class SideResult:
    """What is known of one side besides the rounds.

    Attributes:
        name: of the side.
        threads: of each process, None where torch is not used.
        build_seconds: from the start of the work's set-up to its first run.
        warmup_seconds: of the runs before the rounds, one unit each; compilation happens in the first.
        memory: peak resident bytes, summed over the side's processes; None until it ended.
        values: what the first run computed.
        difference: largest relative distance of `values` from the reference's; None where there are none.
        problem: why it could not be measured, one line, or None.
    """

    name: str
    threads: int | None = None
    build_seconds: float | None = None
    warmup_seconds: list[float] = field(default_factory=list)
    memory: int | None = None
    values: dict[str, float] = field(default_factory=dict)
    difference: float | None = None
    problem: str | None = None


@dataclass
class CaseResult:
    """A case that was measured.

    Attributes:
        case: what it was.
        settings: the size that was run.
        flops: of one unit, by part.
        sides: one for each side, the reference first.
        rounds: all that were run.
        wanted: how many of them were to count.
        machine: software of the workers.
    """

    case: Case
    settings: Mapping[str, Any]
    wanted: int
    flops: dict[str, float] = field(default_factory=dict)
    sides: list[SideResult] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> list[Round]:
        """The rounds that count."""
        return kept(self.rounds, self.wanted)

    def warnings(self) -> list[str]:
        """What a reader of the numbers has to know, one sentence each."""
        name, lines = self.case.name, []
        flagged = [round_ for round_ in self.kept if round_.flagged]
        if flagged:
            worst = max(round_.foreign or 0.0 for round_ in flagged)
            lines.append(
                f"{name}: other processes used up to {worst:.0%} of the cores in {len(flagged)} of "
                f"{len(self.kept)} rounds; measure again on an idle machine"
            )
        for side in self.sides:
            if side.problem:
                lines.append(f"{name}, {side.name}: {side.problem}")
            elif self._disagrees(side):
                lines.append(
                    f"{name}, {side.name}: computes something else than the reference, its values differ by "
                    f"{side.difference:.1e} (allowed: {self.case.side(side.name).rtol:.0e})"
                )
        return lines

    @property
    def failed(self) -> bool:
        """Whether a side could not be measured or did not compute what the reference computes."""
        return any(side.problem or self._disagrees(side) for side in self.sides)

    def _disagrees(self, side: SideResult) -> bool:
        return side.difference is not None and side.difference > self.case.side(side.name).rtol


def relative_distance(value: float, reference: float) -> float:
    """|value - reference| / |reference|; infinite where it is not a number."""
    distance = abs(value - reference) / max(abs(reference), 1e-30)
    return math.inf if math.isnan(distance) else distance
