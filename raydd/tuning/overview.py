"""All studies of a home at a glance, from a handful of files each: no trial's history is read."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from raydd import config as configuration
from raydd import files
from raydd.tuning import disk, journal_lines
from raydd.tuning.abort import ENOUGH
from raydd.tuning.studies import CONFIG_FILE, Study

RUNNING, STOPPED, SEARCHED, CONFIRMED, FAILED = "running", "stopped", "search done", "confirmed", "failed"
UNREADABLE = "unreadable"
READERS = 8  # studies looked at side by side, which pays where the home lies on another machine


@dataclass(frozen=True)
class StudyLine:
    """A study in a line.

    Attributes:
        name: of the study.
        method, data, ipc: as configured; the name of a dataset or a path.
        state: `running`, `stopped` (can be resumed), `search done`, `confirmed`, `failed` (no trial is complete, and
            none will be), or `unreadable`.
        ended, asked: trials.
        best: highest validation accuracy of a complete trial, a fraction: a search estimate.
        confirmed: the winner's test accuracy, a fraction.
        size: bytes on the disk.
        active: when a file was last written, UTC.
        why: what is wrong with a study that is unreadable.
    """

    name: str
    method: str = ""
    data: str = ""
    ipc: int | None = None
    state: str = UNREADABLE
    ended: int = 0
    asked: int = 0
    best: float | None = None
    confirmed: float | None = None
    size: int = 0
    active: datetime.datetime | None = None
    why: str = ""


def overview(home: str | Path) -> list[StudyLine]:
    """All studies of a home by name; one that is damaged is a line that says so."""
    studies = [Study(files.absolute(home) / "studies" / name) for name in Study.names(home)]
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(_line_or_reason, studies))


def line(study: Study) -> StudyLine:
    """One study.

    Raises:
        OSError, ValueError, KeyError, TypeError: a file of it is damaged.
    """
    values = _configured(study)
    ends, report = journal_lines.ends(study.journal), study.report()
    complete = {number: value for number, (state, value) in ends.items() if state == "complete"}
    asked = int(values["search"]["trials"])
    used = disk.usage(study.folder)
    return StudyLine(
        name=study.name,
        method=str(values["method"]),
        data=str(values["data"]["name"]),
        ipc=int(values["ipc"]),
        state=state_of(study, complete, len(ends), asked, report),
        ended=len(ends),
        asked=asked,
        best=max((value for value in complete.values() if value is not None), default=None),
        confirmed=None if report is None else float(report["arms"][0]["mean"]),
        size=used.size,
        active=datetime.datetime.fromtimestamp(used.newest, datetime.UTC) if used.newest else None,
    )


def state_of(
    study: Study, complete: Mapping[int, Any], ended: int, asked: int, report: Mapping[str, Any] | None
) -> str:
    """Where a study stands.

    Args:
        study: on disk.
        complete: its complete trials, by number.
        ended, asked: trials.
        report: of its confirmation, if it has one.
    """
    if study.is_running():
        return RUNNING
    if report is not None and not _joined(study, complete):
        return CONFIRMED
    if ended >= asked:
        return SEARCHED if complete else FAILED
    return FAILED if not complete and _gave_up(study, ended) else STOPPED


def _joined(study: Study, complete: Mapping[int, Any]) -> bool:
    """Whether trials have joined since the winner was chosen, or were asked for since the report was written."""
    confirm = study.folder / "confirm"
    winner = confirm / "winner.json"
    if winner.exists() and files.read_json(winner).get("candidates") != sorted(complete):
        return True
    reported = (confirm / "report.json").stat().st_mtime
    return any(
        "search.trials" in extension.get("changed", {})
        and datetime.datetime.fromisoformat(extension["time"]).timestamp() > reported
        for extension in study.extensions()
    )


def _gave_up(study: Study, ended: int) -> bool:
    """Whether the search ended early because all of its trials failed; see `raydd.tuning.abort`."""
    if ended < ENOUGH:
        return False
    paths = [study.trial_folder(number) / "end.json" for number in study.numbers()]
    return all(files.read_json(path)["outcome"] == "failed" for path in paths if path.exists())


def _configured(study: Study) -> dict[str, Any]:
    """The saved configuration with what was asked for since, not validated: that would take longer than all else."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # six times as fast, where libyaml is there
    values = yaml.load((study.folder / CONFIG_FILE).read_text(), loader)
    for extension in study.extensions():
        for path, value in extension.get("changed", {}).items():
            configuration.set_path(values, path, value)
    return dict(values)


def _line_or_reason(study: Study) -> StudyLine:
    try:
        return line(study)
    except (OSError, ValueError, KeyError, TypeError, IndexError, yaml.YAMLError) as error:
        return StudyLine(study.name, why=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
