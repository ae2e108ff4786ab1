"""What a study's files say of its runs: whoever resumes or synchronises a study logs it again, and gaps are filled.

The driver logs the same things while they happen, by the same functions.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd import files
from raydd.cadence import MEASURE
from raydd.storage.trial import PREVIEWS, TrialFiles, preview_name
from raydd.tuning import descriptions
from raydd.tuning.course import OPEN, Course

if TYPE_CHECKING:
    from raydd.tuning.parent import Parent
    from raydd.tuning.studies import Study, TrialRecord
    from raydd.tuning.tracking import Tracker

WORK = ("images_per_second", "memory_mb", "progress", "checkpoint_mb", "checkpoint_seconds")


def replay(
    study: Study,
    tracker: Tracker,
    about: Parent,
    *,
    still_open: bool = False,
    wrote: Callable[[int], None] = lambda number: None,
) -> None:
    """Log again what earlier drivers may have failed to: every report and end on disk; the tracker fills gaps only.

    Args:
        study: locked by this process.
        tracker: whose parent run is open.
        about: what the trials have in common.
        still_open: whether trials are logged that can go on; a driver that goes on with them opens them itself.
        wrote: called with the number of every trial that was handed to the tracker.
    """
    for trial in study.trials():
        if trial.outcome in OPEN and not still_open:
            continue
        if trial.outcome not in OPEN:
            finish_files(study, trial.number, trial.outcome)
        replay_trial(study, tracker, about, trial)
        wrote(trial.number)
    Course(study, tracker, about).log()


def replay_trial(study: Study, tracker: Tracker, about: Parent, trial: TrialRecord) -> None:
    """Log one trial that nobody works on."""
    trial_files, rows = study.trial_files(trial.number), study.history(trial.number)
    times = report_times(trial_files, rows)
    drawn = files.read_json(study.trial_folder(trial.number) / "hyperparameters.json")
    tracker.open_trial(
        trial.number,
        params=trial.hyperparameters,
        tags={**about.tags, **trial_tags(trial.number, drawn)},
        begun=began(trial_files),
        goes_on=False,
    )
    tracker.log_reports(
        trial.number, [(metrics_of(row), int(row["iteration"]), time) for row, time in zip(rows, times)]
    )
    tracker.trial_artifacts(trial.number, artifacts(study, trial.number))
    outcome = "interrupted" if trial.outcome in OPEN else trial.outcome
    tracker.close_trial(
        trial.number,
        outcome,
        trial.why,
        {} if trial.outcome in OPEN else {"seconds": trial.seconds or 0.0},
        description=descriptions.of_trial(study.name, trial, about),
        ended=max(times, default=None),
    )


def trial_tags(number: int, drawn: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a child run that are its own; `drawn` is what its `hyperparameters.json` holds."""
    tags = {"raydd.trial": str(number), "raydd.source": str(drawn["source"])}
    if "replicate" in drawn:
        tags |= {"raydd.replicate": str(drawn["replicate"]), "raydd.seed": str(drawn["seed"])}
    return tags


# -- when things happened --------------------------------------------------------------------------------------


def began(trial_files: TrialFiles) -> int | None:
    """When the first attempt at a trial began, in milliseconds since 1970; None where that is not known."""
    chain = trial_files.chain()
    return attempt_began(trial_files, chain[0][0]) if chain else None


def attempt_began(trial_files: TrialFiles, number: int) -> int | None:
    """`began` of one attempt."""
    time = trial_files.begun(number).get("time")
    return None if time is None else int(datetime.datetime.fromisoformat(time).timestamp() * 1000)


def report_times(trial_files: TrialFiles, rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """When reports were made, in milliseconds since 1970."""
    starts: dict[int, int] = {}
    found = []
    for row in rows:
        attempt = int(row["attempt"])
        if attempt not in starts:
            starts[attempt] = attempt_began(trial_files, attempt) or 0
        found.append(starts[attempt] + int(1000 * float(row["seconds"])))
    return found


# -- files -----------------------------------------------------------------------------------------------------


def artifacts(study: Study, number: int) -> dict[str, Path]:
    """Files of a trial that MLflow keeps, by artifact path."""
    folder = study.trial_folder(number)
    return {
        "distilled/distilled.safetensors": folder / "distilled.safetensors",
        "hyperparameters.json": folder / "hyperparameters.json",
        "study.yaml": study.folder / "study.yaml",
        "provenance.json": study.folder / "provenance.json",
        "error.txt": folder / "error.txt",
        **pictures(study, number),
    }


def pictures(study: Study, number: int) -> dict[str, Path]:
    """Pictures of a trial by artifact path: the newest grid, what a method drew of it, the grid at every evaluation."""
    folder = study.trial_folder(number)
    drawn = {f"pictures/{path.name}": path for path in sorted((folder / "pictures").glob("*.png"))}
    kept = study.trial_files(number).previews()
    return {
        "distilled/grid.png": folder / "grid.png",
        **drawn,
        **{f"{PREVIEWS}/{preview_name(iteration)}": path for iteration, path in kept.items()},
    }


def finish_files(study: Study, number: int, outcome: str) -> None:
    """What is done with the files of a trial that has ended: its set and its traceback are shown, checkpoints go."""
    trial_files = study.trial_files(number)
    trial_files.publish()
    if outcome == "failed":  # its checkpoints may tell why
        text = trial_files.error_text()
        if text:
            files.write_text(study.trial_folder(number) / "error.txt", text)
    else:
        trial_files.drop_checkpoints()


# -- reports ---------------------------------------------------------------------------------------------------


def metrics_of(result: Mapping[str, Any]) -> dict[str, float]:
    """The MLflow metrics of one report (contracts: fractions, step = iteration); measures lose their prefix."""
    # In this order, because MLflow lists and compares what a run was given first.
    keys = ["val_accuracy", "val_accuracy_std"] if result["evaluated"] else []
    keys += [key for key in result if key.startswith("loss/")]
    keys += [key for key in result if key.startswith(MEASURE)]
    keys += [key for key in WORK if key in result]
    found = {key.removeprefix(MEASURE): float(result[key]) for key in keys}
    return {key: value for key, value in found.items() if math.isfinite(value)}
