"""What a person sees while a study runs: a live table on a terminal, plain lines for `grep` elsewhere."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raydd import wording

Arguments = ParamSpec("Arguments")

HEARTBEAT = 30.0  # seconds between plain lines about what is running
LIVE_ROWS = 12  # of the table of trials; running ones first, then the best finished ones
REFRESHES = 4  # of the live table, per second


def _quiet(method: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Let no error of printing, such as a closed pipe, reach the search."""

    @functools.wraps(method)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except (
            Exception,
            SystemExit,
        ):  # rich leaves the program when its pipe is closed (`raydd search | head`)
            return

    return call


@dataclass(frozen=True)
class _Row:
    number: int
    iteration: int
    iterations: int
    val_accuracy: float
    std: float
    outcome: str | None
    hyperparameters: str
    source: str
    seconds: float

    @property
    def state(self) -> str:
        return self.outcome or "running"

    @property
    def accuracy(self) -> str:
        if not math.isfinite(self.val_accuracy):
            return wording.NOTHING
        return f"{wording.percent(self.val_accuracy)} ± {wording.percent(self.std)}"

    def line(self) -> str:
        return (
            f"trial {self.number} {self.state}: {self.iteration}/{self.iterations}, val {self.accuracy} %, "
            f"{wording.duration(self.seconds)}, {self.source}, {self.hyperparameters}"
        )


class Progress:
    """Shows how a study goes on; a context manager that may be used from several threads and never raises.

    Args:
        console: where to write; None is stdout.
        live: redraw a table in place; None does so on a terminal only.
    """

    def __init__(self, console: Console | None = None, live: bool | None = None) -> None:
        self.console = console or Console(highlight=False, markup=False, emoji=False)
        self._wants_live = self.console.is_terminal if live is None else live
        self._live: Live | None = None
        self._lock = threading.RLock()
        self._stage = ""
        self._units: dict[str, tuple[int, int]] = {}
        self._rows: dict[int, _Row] = {}
        self._trials = 0
        self._started = time.monotonic()
        self._last_line = self._started

    def __reduce__(self) -> tuple[type[Progress], tuple[()]]:
        # Ray pickles the driver's callbacks, and the display with them; nobody writes to that copy.
        return type(self), ()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @_quiet
    def message(self, text: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self._print(text)

    @_quiet
    def warning(self, text: str) -> None:
        """Print a line that stays and starts with `warning:`."""
        with self._lock:
            self._print(f"warning: {text}", style="yellow")

    @_quiet
    def stage(self, title: str) -> None:
        """Begin a stage (`assets`, `search`, `re-rank`, `report`); its counters start afresh."""
        with self._lock:
            self._stage, self._units = title, {}
            self._started = time.monotonic()
            self._print(f"{title} ...")
            self._redraw()

    @_quiet
    def search_started(self, *, trials: int, iterations: int, unit: str) -> None:
        """Say how much is going to be searched."""
        with self._lock:
            self._trials, self._rows = trials, {}
            self._print(f"{trials} trials of up to {iterations} {unit}")
            self._redraw()

    @_quiet
    def trial(
        self,
        number: int,
        *,
        iteration: int,
        iterations: int,
        val_accuracy: float,
        std: float,
        outcome: str | None,
        hyperparameters: Mapping[str, Any],
        source: str,
        seconds: float,
    ) -> None:
        """Take in a report of a trial, or its end.

        Args:
            number: the trial.
            iteration, iterations: done, and asked for.
            val_accuracy, std: fractions at the last evaluation, NaN before the first.
            outcome: None while it runs; otherwise how it ended.
            hyperparameters: searched names and values.
            source: where they came from (`default`, `published`, `startup`, `model`).
            seconds: wall time so far.
        """
        values = wording.hyperparameters(hyperparameters)
        row = _Row(
            number, iteration, iterations, val_accuracy, std, outcome, values, source, seconds
        )  # fmt: skip
        with self._lock:
            self._rows[number] = row
            now = time.monotonic()
            if self._wants_live:
                self._redraw()
            elif outcome is not None:
                self._print(f"{row.line()} [{self._summary()}]")
            elif now - self._last_line >= HEARTBEAT:
                self._print(self._summary())

    @_quiet
    def units(self, what: str, done: int, total: int) -> None:
        """Count finished units of a stage, such as the networks of a pool or the runs of a confirmation."""
        with self._lock:
            self._units[what] = (done, total)
            if self._wants_live:
                self._redraw()
            elif done == total or time.monotonic() - self._last_line >= HEARTBEAT:
                self._print(f"{what}: {done}/{total}")

    @_quiet
    def close(self) -> None:
        """Take the live table off the screen; lines that were printed stay."""
        with self._lock:
            live, self._live = self._live, None
            if live is not None:
                live.stop()

    def _print(self, text: str, style: str | None = None) -> None:
        self._last_line = time.monotonic()
        # soft_wrap: a line stays one line in a pipe, whatever width rich believes in.
        self.console.print(Text(text, style=style or ""), soft_wrap=True)

    def _redraw(self) -> None:
        if not self._wants_live:
            return
        if self._live is None:
            self._live = Live(
                get_renderable=self._render,
                console=self.console,
                refresh_per_second=REFRESHES,
                transient=True,
            )
            self._live.start()

    def _summary(self) -> str:
        rows = list(self._rows.values())
        done = sum(row.outcome not in (None, "interrupted") for row in rows)
        best = max(
            (
                row.val_accuracy
                for row in rows
                if row.outcome == "complete" and math.isfinite(row.val_accuracy)
            ),
            default=None,
        )
        return (
            f"{done} of {self._trials} trials done, {sum(row.outcome is None for row in rows)} running, "
            f"best {wording.percent(best)} % (search estimate)"
        )

    def _render(self) -> RenderableType:
        with self._lock:
            elapsed = wording.duration(time.monotonic() - self._started)
            parts: list[RenderableType] = []
            if self._stage == "search" and self._rows:
                parts.append(self._table())
            counters = [f"{what} {done}/{total}" for what, (done, total) in self._units.items()]
            if self._stage == "search" and self._trials:
                counters.append(self._summary())
            parts.append(Text("  ".join([self._stage or "starting", *counters, elapsed]), style="bold"))
            return Group(*parts)

    def _table(self) -> Table:
        running = [row for row in self._rows.values() if row.outcome is None]
        ended = [row for row in self._rows.values() if row.outcome is not None]
        ended.sort(key=lambda row: (row.outcome == "complete", _or_zero(row.val_accuracy)), reverse=True)
        table = Table(box=None, pad_edge=False)
        for title in ("trial", "state", "done", "val accuracy %", "seconds", "source"):
            table.add_column(
                title, no_wrap=True, justify="right" if title in ("trial", "seconds") else "left"
            )
        table.add_column("hyperparameters", overflow="ellipsis", no_wrap=True)
        for row in (running + ended)[:LIVE_ROWS]:
            table.add_row(
                str(row.number),
                row.state,
                f"{row.iteration}/{row.iterations}",
                row.accuracy,
                f"{row.seconds:.0f}",
                row.source,
                Text(row.hyperparameters),
                style="dim" if row.outcome not in (None, "complete") else None,
            )
        return table


def _or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0
