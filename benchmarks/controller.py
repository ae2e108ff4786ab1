"""`python -m benchmarks.controller`: what the driver of a study costs, for each trial and for each report.

A study of many short trials runs on a real Ray, its workers used again and again. In the driver's main thread two
things are measured: the time inside our own hooks when a report comes in (searcher, scheduler, callback), and the time
of everything, Ray Tune included. Both as CPU time, which other work on the machine does not inflate; the hooks also as
wall time, which has what they wait for.
"""

from __future__ import annotations

import functools
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.ending import exit_code

NET = "convnet-d1-w4"


class Clock:
    """Wall and CPU seconds of calls, by name."""

    def __init__(self) -> None:
        self.calls: dict[str, list[float]] = {}
        self.cpu: dict[str, float] = {}

    def time(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, timed under `name`."""

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            begun, cpu = time.perf_counter(), time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                self.cpu[name] = self.cpu.get(name, 0.0) + time.thread_time() - cpu
                self.calls.setdefault(name, []).append(time.perf_counter() - begun)

        return timed

    def seconds(self, names: Sequence[str]) -> float:
        """Wall time of all calls of these."""
        return sum(sum(self.calls.get(name, [])) for name in names)

    def cpu_seconds(self, names: Sequence[str]) -> float:
        """CPU time of all calls of these, in the threads that made them."""
        return sum(self.cpu.get(name, 0.0) for name in names)


def measure(trials: int, iterations: int, home: Path) -> dict[str, Any]:
    """Run a study of `trials` trials of `iterations` iterations (20 reports each, at least) under `home`."""
    from raydd import config as configuration
    from raydd import tuning
    from raydd.tuning import search, stages
    from raydd.tuning.callback import StudyCallback
    from raydd.tuning.scheduler import MarginASHA
    from raydd.tuning.searcher import StudySearcher

    values = {
        "method": "dm",
        "ipc": 1,
        "iterations": iterations,
        "home": str(home),
        "name": f"quick-{trials}",
        "search": {"trials": trials, "sampler": "random", "fix": {"net": NET, "batch_real": 8}},
        "evaluation": {"net": NET, "epochs": 1, "repeats": 1},
        "confirm": {
            "top": 1,
            "rerank_seeds": 1,
            "report_seeds": 2,
            "max_report_seeds": 2,
            "repeats": 1,
            "baselines": [],
        },
        "tracking": {"uri": None},
        "compile": "off",
    }
    clock, spent = Clock(), dict[str, float]()
    hooks = (
        (StudySearcher, "on_trial_result"),
        (MarginASHA, "on_trial_result"),
        (StudyCallback, "on_trial_result"),
    )
    once = (
        (StudySearcher, "suggest"),
        (StudySearcher, "on_trial_complete"),
        (StudyCallback, "on_trial_start"),
        (StudyCallback, "on_trial_complete"),
        (StudyCallback, "on_step_end"),
    )
    for owner, name in (*hooks, *once):
        setattr(owner, name, clock.time(f"{owner.__name__}.{name}", getattr(owner, name)))
    original = stages.search_trials

    def timed(*arguments: Any, **named: Any) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        original(*arguments, **named)
        spent.update(wall=time.perf_counter() - wall, cpu=time.thread_time() - cpu)

    search.search_trials = timed
    with tuning.Progress(live=False) as progress:
        plan = tuning.prepare(configuration.build(values))
        result = tuning.launch(plan, progress)
    reports = len(clock.calls["StudyCallback.on_trial_result"])
    in_report, per_trial = ([f"{owner.__name__}.{name}" for owner, name in each] for each in (hooks, once))
    return {
        "exit_code": result.exit_code,
        "trials": trials,
        "reports": reports,
        "search_seconds": spent["wall"],
        "driver_cpu_seconds": spent["cpu"],
        "driver_cpu_ms_per_trial": 1000 * spent["cpu"] / trials,
        "hooks_cpu_ms_per_report": 1000 * clock.cpu_seconds(in_report) / reports,
        "hooks_cpu_ms_per_trial": 1000 * clock.cpu_seconds(per_trial) / trials,
        "hooks_ms_per_report": 1000 * clock.seconds(in_report) / reports,
        "hooks_ms_per_trial": 1000 * clock.seconds(per_trial) / trials,
        "hooks_median_ms": {name: 1000 * statistics.median(calls) for name, calls in clock.calls.items()},
        "driver_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--trials", default=200, help="[default: 200]")
@click.option("--iterations", default=20, help="Of a trial; each is a report.  [default: 20]")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for the figures.")
def command(trials: int, iterations: int, out: Path | None) -> None:
    """Measure the driver of a study of many short trials."""
    with tempfile.TemporaryDirectory(prefix="raydd-controller-") as folder:
        found = measure(trials, iterations, Path(folder))
    text = json.dumps(found, indent=2)
    if out is not None:
        out.write_text(text + "\n")
    click.echo(text)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: command.main(standalone_mode=False)))
