"""Measuring a case: its sides in processes of their own, taking turns round after round."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.case import Case, Side
from benchmarks.load import foreign_share, snapshot
from benchmarks.peak import CASES as PEAK_CASES
from benchmarks.process import WorkerFailed, WorkerProcess
from benchmarks.results import CaseResult, SideResult, relative_distance
from benchmarks.rounds import Round, enough
from raydd import devices

REPEATS, QUICK_REPEATS = 3, 1
"""Rounds that may be run again because of foreign load."""


class _Team:
    """The processes of one side."""

    def __init__(
        self, case: Case, side: Side, settings: Mapping[str, Any], stack: contextlib.ExitStack
    ) -> None:
        self.side = side
        self.result = SideResult(side.name)
        # A folder of its own, so that what compiling takes does not depend on what was compiled before.
        kernels = stack.enter_context(tempfile.TemporaryDirectory(prefix="raydd-benchmark-"))
        variables = {"TORCHINDUCTOR_CACHE_DIR": kernels}
        if side is not case.reference:  # as `devices.prepare_environment` does for all that raydd starts
            variables["GOMP_SPINCOUNT"] = devices.SPIN
        self.workers = [stack.enter_context(WorkerProcess(**variables)) for _ in range(side.processes)]
        # One after the other, so that a warm-up is timed alone.
        answers = [
            worker.ask(
                "start",
                module=case.module,
                case=case.name,
                side=side.name,
                settings=dict(settings),
                warmups=case.warmups,
                count_flops=side is case.reference,
            )
            for worker in self.workers
        ]
        self.first = answers[0]
        self.units: int = self.first["units"]
        self.result.threads = self.first["threads"]
        self.result.build_seconds = self.first["build_seconds"]
        self.result.warmup_seconds = [seconds / self.units for seconds in self.first["warmup_seconds"]]
        self.result.values = self.first["values"]

    def seconds(self) -> float:
        """Run once in all processes at the same time; wall seconds for each unit that was done."""
        for worker in self.workers:
            worker.tell("run")
        answers = [worker.hear() for worker in self.workers]
        wall = max(answer["ended"] for answer in answers) - min(answer["began"] for answer in answers)
        return float(wall / (self.units * len(self.workers)))

    def end(self) -> None:
        """Ask for the memory and end the processes."""
        self.result.memory = sum(worker.ask("end")["memory"] for worker in self.workers)


@contextlib.contextmanager
def peak_process() -> Iterator[WorkerProcess]:
    """A process that is ready to measure the machine's peak."""
    case = PEAK_CASES[0]
    with WorkerProcess() as worker:
        worker.ask(
            "start",
            module=case.module,
            case=case.name,
            side=case.reference.name,
            settings={},
            warmups=case.warmups,
            count_flops=False,
        )
        yield worker


def measure(
    case: Case,
    settings: Mapping[str, Any],
    *,
    quick: bool,
    rounds: int,
    peak: WorkerProcess | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> CaseResult:
    """Measure all sides of `case` that this kind of run has.

    Args:
        case: what to measure.
        settings: its size.
        quick: leave out the sides that quick runs do not have, and repeat fewer rounds.
        rounds: how many are to count, >= 1; a few more are run where others load the machine.
        peak: see `peak_process`; None measures no peak.
        progress: told one short line at a time.
    """
    result = CaseResult(case, settings, rounds)
    with contextlib.ExitStack() as stack:
        teams = []
        for side in case.chosen(quick):
            progress(f"{case.name}: preparing {side.name}")
            team_stack = stack.enter_context(contextlib.ExitStack())
            try:
                teams.append(_Team(case, side, settings, team_stack))
                result.sides.append(teams[-1].result)
            except WorkerFailed as error:
                team_stack.close()
                result.sides.append(SideResult(side.name, problem=str(error)))
        if not teams:
            return result
        if teams[0].side is case.reference:
            result.flops = teams[0].first["flops"]
        result.machine = teams[0].first["machine"]
        _compare(result)

        while not enough(result.rounds, rounds, QUICK_REPEATS if quick else REPEATS):
            done = len(result.rounds)
            again = ", again because of foreign load" if done >= rounds else ""
            progress(f"{case.name}: round {min(done + 1, rounds)} of {rounds}{again}")
            # Every other round runs backwards, so that a drift of the machine favours no side.
            order = teams if done % 2 == 0 else teams[::-1]
            result.rounds.append(_round(order, peak if result.flops else None))
        for team in teams:
            if team.result.problem is None:
                _guarded(team, team.end)
    return result


def _round(teams: Sequence[_Team], peak: WorkerProcess | None) -> Round:
    before = snapshot()
    seconds: dict[str, float] = {}
    for team in teams:
        if team.result.problem is None:
            measured = _guarded(team, team.seconds)
            if measured is not None:
                seconds[team.side.name] = measured
    speeds: dict[str, float] = {}
    if peak is not None:
        peak.ask("run")
        speeds = peak.ask("read")["values"]
    return Round(seconds, foreign_share(before, snapshot()), speeds)


def _guarded(team: _Team, work: Callable[[], float | None]) -> float | None:
    """`work()`; where the side's process fails, the side is given up and the others go on."""
    try:
        return work()
    except WorkerFailed as error:
        team.result.problem = str(error)
        return None


def _compare(result: CaseResult) -> None:
    reference = result.sides[0].values
    for side in result.sides[1:]:
        if side.values.keys() != reference.keys():
            side.difference = math.inf if side.values and reference else None
            continue
        distances = [relative_distance(side.values[name], reference[name]) for name in reference]
        side.difference = max(distances) if distances else None
