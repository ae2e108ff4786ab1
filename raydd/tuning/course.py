"""`Course`: what the parent run shows while a study goes on: it must not look empty while its children are folded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raydd import files
from raydd.tuning import descriptions
from raydd.tuning.studies import complete
from raydd.wording import percent

if TYPE_CHECKING:
    from raydd.config import ResourcesConfig
    from raydd.tuning.parent import Parent
    from raydd.tuning.studies import Study, TrialRecord
    from raydd.tuning.tracking import Tracker

OPEN = ("running", "interrupted")  # outcomes of trials that can go on
ENDS = ("complete", "pruned", "diverged", "failed")
SHEET = "contact_sheet.png"
ON_SHEET = 8  # trials


@dataclass(frozen=True)
class End:
    """How a trial ended.

    Attributes:
        time: milliseconds since 1970.
        outcome: one of `ENDS`.
        val_accuracy: a fraction, at the last evaluation; None before the first.
        seconds: wall time of all attempts.
    """

    time: int
    outcome: str
    val_accuracy: float | None
    seconds: float


class Course:
    """A study's trials as they end.

    Args:
        study: whose trials of earlier sessions are read; those of this one are told.
        tracker: whose parent run is open.
        parent: what all runs have in common.
    """

    def __init__(self, study: Study, tracker: Tracker, parent: Parent) -> None:
        self.study, self.tracker, self.parent = study, tracker, parent
        self.resources = study.config.resources
        self.records = {trial.number: trial for trial in study.trials() if trial.outcome not in OPEN}
        self.ends = sorted(
            (end_of(study, trial) for trial in self.records.values()), key=lambda end: end.time
        )

    def log(self) -> None:
        """Log all of it anew; the tracker fills gaps only."""
        self.tracker.log_course(figures(self.ends, self.resources))

    def ended(self, record: TrialRecord, asked: int) -> None:
        """Take in a trial's end, and let the parent run show what it has changed.

        Args:
            record: of the trial, whose end is on disk.
            asked: trials of the study in all.
        """
        self.records[record.number] = record
        self.ends.append(end_of(self.study, record))
        self.tracker.log_course(figures(self.ends, self.resources)[-1:])
        records = list(self.records.values())
        described = descriptions.of_study(self.study.name, self.parent, records, asked, self.study.report())
        self.tracker.log_study({}, description=described)
        if record in complete(records)[:ON_SHEET]:
            write_contact_sheet(self.study, records)
            self.tracker.study_artifacts({SHEET: self.study.folder / SHEET})


def end_of(study: Study, trial: TrialRecord) -> End:
    """The end of a trial that was written down."""
    seconds = sum(study.trial_files(trial.number).seconds().values())
    return End(int(1000 * study.ended_at(trial.number)), trial.outcome, trial.val_accuracy, seconds)


def figures(ends: Sequence[End], resources: ResourcesConfig) -> list[tuple[dict[str, float], int, int]]:
    """Metrics of the parent run after each trial that has ended, the number of ended trials, and the time.

    They are `search/val_accuracy` (the best of complete trials so far, a search estimate), `trials/<outcome>`, and
    `cost/cpu_hours` and `cost/gpu_hours` of the trials that have ended.

    Args:
        ends: in their order.
        resources: of a trial.
    """
    counts = dict.fromkeys(ENDS, 0)
    best, seconds = -math.inf, 0.0
    found = []
    for step, end in enumerate(ends, start=1):
        counts[end.outcome] += 1
        seconds += end.seconds
        if end.outcome == "complete" and end.val_accuracy is not None:
            best = max(best, end.val_accuracy)
        metrics = {"search/val_accuracy": best} if math.isfinite(best) else {}
        metrics |= {f"trials/{outcome}": float(count) for outcome, count in counts.items()}
        metrics["cost/cpu_hours"] = seconds * resources.cpus_per_trial / 3600
        metrics["cost/gpu_hours"] = seconds * float(resources.gpus_per_trial) / 3600
        found.append((metrics, step, end.time))
    return found


def study_files(study: Study) -> dict[str, Path]:
    """Files of the parent run, by artifact path: the confirmed set, the confirmation, the contact sheet, the report.

    What `raydd report` has written lies in the study's folder `report` and goes below `report`, whatever it is.
    """
    reported = study.folder / "report"
    written = [path for path in sorted(reported.rglob("*")) if path.is_file() and path.name[0] != "."]
    return {
        "distilled/grid.png": study.folder / "grid.png",
        "distilled/distilled.safetensors": study.folder / "distilled.safetensors",
        "confirm/report.json": study.folder / "confirm" / "report.json",
        SHEET: study.folder / SHEET,
        **{f"report/{path.relative_to(reported).as_posix()}": path for path in written},
    }


def write_contact_sheet(study: Study, records: Sequence[TrialRecord]) -> None:
    """The best complete trials' images on one picture, in the study's folder; nothing where none is complete."""
    from raydd.storage.contact_sheet import contact_sheet  # imports torch

    best = complete(records)[:ON_SHEET]
    paths = {trial.number: study.trial_folder(trial.number) / "grid.png" for trial in best}
    previews = [
        (f"trial {trial.number}: {percent(trial.val_accuracy)} %", paths[trial.number])
        for trial in best
        if paths[trial.number].exists()
    ]
    if previews:
        title = f"{study.name}: best trials by validation accuracy (search estimates)"
        files.write_bytes(study.folder / SHEET, contact_sheet(title, previews))
