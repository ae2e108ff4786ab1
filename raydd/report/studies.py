"""Studies as people look at them: a home's in a table, one in sentences, and what lies where."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from raydd import wording

if TYPE_CHECKING:
    from rich.console import RenderableType

    from raydd.tuning.cleaning import Item
    from raydd.tuning.overview import StudyLine
    from raydd.tuning.status import Reason, Status, Underway

ESTIMATE = "best val is a search estimate, the best of many validation values, and too high; test accuracy is confirmed"
KINDS_OF_TIME = {"hours": "search", "GPU-hours": "GPU time"}
NUMBERS = 8  # trials that are named before "and 12 more"


# -- raydd list ----------------------------------------------------------------------------------------------


def table(lines: Sequence[StudyLine]) -> RenderableType:
    """A line for every study."""
    result = Table(box=box.SIMPLE)
    for name in (
        "study",
        "method",
        "data",
        "ipc",
        "state",
        "trials",
        "best val %",
        "test %",
        "size",
        "last activity",
    ):
        right = name in ("ipc", "trials", "best val %", "test %", "size")
        result.add_column(name, justify="right" if right else "left", no_wrap=True)
    for line in lines:
        result.add_row(
            line.name,
            line.method or wording.NOTHING,
            os.path.basename(line.data.rstrip("/")) or wording.NOTHING,
            wording.NOTHING if line.ipc is None else str(line.ipc),
            Text(f"{line.state} ({line.why})" if line.why else line.state),
            f"{line.ended}/{line.asked}",
            wording.percent(line.best),
            wording.percent(line.confirmed),
            wording.size(line.size),
            wording.NOTHING if line.active is None else line.active.strftime("%Y-%m-%d %H:%M UTC"),
        )
    return Group(result, Text(ESTIMATE))


# -- raydd status --------------------------------------------------------------------------------------------


def about(status: Status) -> list[str]:
    """Where a study stands, a line for every fact."""
    held = f"running, by {status.holder}" if status.running else f"not running: {status.state}"
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(status.outcomes.items()))
    lines = [
        f"study {status.name}: {held}",
        f"stage: {status.stage}",
        f"trials: {sum(status.outcomes.values())} of {status.asked} begun"
        + (f" ({outcomes})" if outcomes else ""),
    ]
    lines += [f"  {_underway(trial)}" for trial in status.underway]
    if status.best is not None:
        lines.append(
            f"best: trial {status.best}, val {wording.percent(status.best_accuracy)} % (search estimate)"
        )
    if status.report_runs:
        lines.append(f"confirmation: {status.report_runs} distillations done")
    if status.confirmed is not None:
        lines.append(f"confirmed: {wording.percent(status.confirmed)} % on test data")
    lines.append("spent: " + ", ".join(_spent(part.what, part.used, part.limit) for part in status.spent))
    lines += status.notices
    if status.reasons:
        lines += ["failures:", *(f"  {_reason(reason)}" for reason in status.reasons)]
    lines.append(f"test data were read {_times(status.test_readings)}")
    lines.append("next: " + "   or   ".join(status.next))
    return lines


def _underway(trial: Underway) -> str:
    where = "waits for its worker" if trial.host is None else f"on {trial.host} (process {trial.pid})"
    again = f", attempt {trial.attempt}" if trial.attempt > 1 else ""
    accuracy = (
        "not evaluated yet" if trial.val_accuracy is None else f"val {wording.percent(trial.val_accuracy)} %"
    )
    return f"trial {trial.number}: {trial.iteration}/{trial.iterations}, {accuracy}, {where}{again}"


def _spent(what: str, used: float, limit: float | None) -> str:
    if what == "patience":
        return f"{used:g} trials in a row without a new best" + (
            "" if limit is None else f" (limit {limit:g})"
        )
    return f"{wording.duration(3600 * used)} of {KINDS_OF_TIME[what]}" + (
        "" if limit is None else f" (limit {limit:g} {what})"
    )


def _reason(reason: Reason) -> str:
    shown = [str(number) for number in reason.trials[:NUMBERS]]
    more = len(reason.trials) - len(shown)
    trials = f"trial{'s' if len(reason.trials) > 1 else ''} {', '.join(shown)}" + (
        f" and {more} more" if more else ""
    )
    attempts = "1 attempt" if reason.attempts == 1 else f"{reason.attempts} attempts"
    ended = f"; {len(reason.given_up)} ended by it" if reason.given_up else "; all went on"
    return f"{reason.kind}: {reason.why} ({attempts} of {trials}{ended})"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


# -- raydd gc ------------------------------------------------------------------------------------------------


def what_lies_where(items: Sequence[Item], kinds: Sequence[str], bank_limit: float) -> RenderableType:
    """How much of each kind there is, and how much of it may be deleted.

    Args:
        items: of a home.
        kinds: in the order of their rows.
        bank_limit: GiB that all target banks may have together.
    """
    result = Table(box=box.SIMPLE)
    for name in ("what", "number", "size", "can be deleted"):
        result.add_column(name, justify="left" if name == "what" else "right", no_wrap=True)
    for kind in kinds:
        found = [item for item in items if item.kind == kind]
        if found:
            what = f"{kind} (limit {bank_limit:g} GiB)" if kind == "target bank" else kind
            free = sum(item.size for item in found if item.deletable)
            any_free = any(item.deletable for item in found)
            result.add_row(
                what,
                str(len(found)),
                wording.size(sum(item.size for item in found)),
                wording.size(free) if any_free else wording.NOTHING,
            )
    return result


def deletable(items: Sequence[Item]) -> list[str]:
    """What may be deleted, a line each, and why the rest of such things stays."""
    lines = [f"{item.kind}: {item.path} ({wording.size(item.size)})" for item in items if item.deletable]
    stays = [f"stays: {item.kind} {item.path}, because {item.why}" for item in items if item.why]
    return [*lines, *stays]


def as_rows(items: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Items or lines as plain values."""
    return [{name: _text(value) for name, value in asdict(item).items()} for item in items]


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.datetime) else value
