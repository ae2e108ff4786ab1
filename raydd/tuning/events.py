"""What happened to a study or a trial, in the order in which it happened, from their files."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd import files, wording
from raydd.tuning.budget import FOLDER, sessions
from raydd.tuning.status import study_stop

if TYPE_CHECKING:
    from raydd.tuning.studies import Study, TrialRecord


@dataclass(frozen=True, order=True)
class Event:
    """Something that happened.

    Attributes:
        time: UTC; where no file names it, when the file was written that tells of it.
        text: one sentence.
    """

    time: datetime.datetime
    text: str


def of_study(study: Study) -> list[Event]:
    """Sessions, extensions, attempts that failed, ends of trials, and the confirmation's steps, oldest first."""
    records = study.trials()
    found = [*_sessions(study), *_extensions(study), *_confirmation(study)]
    for record in records:
        found += _trial(study, record)
    stop = study_stop(study)
    if stop is not None:
        found.append(Event(_written(study.folder / "stop.json"), f"asked to stop: {stop}"))
    return sorted(found, key=lambda event: event.time)


def _sessions(study: Study) -> Iterator[Event]:
    known = sessions(study)
    going_on = max(known, default=0) if study.is_running() else None
    for number, session in sorted(known.items()):
        begun = _time(session["begun"])
        yield Event(begun, f"session {number} began: process {session['pid']} on {session['host']}")
        if number != going_on:
            # A driver that is killed cannot say so: its last sign of life is what there is.
            ended = _written(study.folder / FOLDER / f"{number}.json")
            lasted = wording.duration(float(session["seconds"]))
            yield Event(ended, f"session {number} had been at its search for {lasted}")


def _extensions(study: Study) -> Iterator[Event]:
    for row in study.extensions():
        changed = ", ".join(
            f"{path}={wording.value(value)}" for path, value in row.get("changed", {}).items()
        )
        if "added" in row:
            yield Event(_time(row["time"]), f"a point was added: {wording.hyperparameters(row['added'])}")
        else:
            yield Event(_time(row["time"]), f"the study was extended: {changed}")


def _trial(study: Study, record: TrialRecord) -> Iterator[Event]:
    trial_files = study.trial_files(record.number)
    for failure in trial_files.failures():
        path = trial_files.attempt_folder(failure["attempt"]) / "failed.json"
        text = f"trial {record.number}, attempt {failure['attempt']} failed ({failure['kind']}): {failure['why']}"
        yield Event(_written(path), text)
    path = study.trial_folder(record.number) / "end.json"
    if path.exists():
        about = [f"trial {record.number} {record.outcome}", f"{record.iteration}/{record.iterations}"]
        if record.val_accuracy is not None:
            about.append(f"val {wording.percent(record.val_accuracy)} %")
        yield Event(_written(path), ", ".join(about) + (f": {record.why}" if record.why else ""))


def _confirmation(study: Study) -> Iterator[Event]:
    winner, report = (study.folder / "confirm" / name for name in ("winner.json", "report.json"))
    if winner.exists():
        number = files.read_json(winner)["winner"]
        yield Event(_written(winner), f"trial {number} won the re-ranking and was frozen")
    if report.exists():
        arm = files.read_json(report)["arms"][0]
        yield Event(
            _written(report), f"the report was written: test accuracy {wording.percent(arm['mean'])} %"
        )


def of_trial(study: Study, number: int) -> Iterator[str]:
    """A trial's attempts, each with its reports line by line, and why it failed if it did."""
    record, trial_files = study.trial(number), study.trial_files(number)
    yield f"trial {number} of study {study.name}: {record.outcome}" + (
        f": {record.why}" if record.why else ""
    )
    yield f"{record.source}: {wording.hyperparameters(record.hyperparameters)}"
    counted = dict(trial_files.chain())
    failed = {failure["attempt"]: failure for failure in trial_files.failures()}
    for attempt in trial_files.attempts():
        begun, folder = trial_files.begun(attempt), trial_files.attempt_folder(attempt)
        yield ""
        yield _attempt(attempt, begun)
        for row in files.read_jsonl(folder / "history.jsonl"):
            counts = attempt in counted and _within(row, counted[attempt])
            yield "  " + _report(row) + ("" if counts else "   (does not count: it was gone on from earlier)")
        if attempt in failed:
            yield f"  failed ({failed[attempt]['kind']}): {failed[attempt]['why']}"
            yield from _traceback(folder / "error.txt")
    if record.outcome == "failed" and not failed:  # only Ray knows why
        yield ""
        yield from _traceback(study.trial_folder(number) / "error.txt")


def _attempt(number: int, begun: dict[str, Any]) -> str:
    if not begun:
        return f"attempt {number}: claimed, not begun"
    origin = begun.get("from")
    whence = "from the start" if origin is None else f"from iteration {origin[1]} of attempt {origin[0]}"
    who = f"process {begun.get('pid', '?')} on {begun.get('host', '?')}"
    when = stamp(_time(begun["time"])) if "time" in begun else "at a time that is not known"
    return f"attempt {number}: {who}, session {begun.get('session', '?')}, began {when}, {whence}"


def _report(row: dict[str, Any]) -> str:
    parts = [f"iteration {row['iteration']}"]
    if row.get("evaluated"):
        parts.append(f"val {wording.percent(row.get('val_accuracy'))} %")
    numbers = {
        name: value
        for name, value in row.items()
        if name.startswith("loss/") and isinstance(value, int | float)
    }
    parts += [f"{name} {value:.4g}" for name, value in numbers.items() if math.isfinite(value)]
    parts.append(wording.duration(row.get("seconds")))
    if row.get("outcome"):
        parts.append(row["outcome"] + (f": {row['why']}" if row.get("why") else ""))
    return "  ".join(parts)


def _within(row: dict[str, Any], limit: int | None) -> bool:
    return limit is None or int(row["iteration"]) <= limit


def _traceback(path: Path) -> Iterator[str]:
    if path.exists():
        yield from (f"    {line}".rstrip() for line in path.read_text().splitlines())


def stamp(time: datetime.datetime) -> str:
    """A time as people read it: `2026-11-21 19:30:48 UTC`."""
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def _written(path: Path) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
