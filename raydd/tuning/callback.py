"""What the driver does while trials run: feed the tracker and the progress display, write down how trials end."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.tune import Callback

from raydd import failures, files
from raydd.cadence import MEASURE
from raydd.storage.trial import Attempt
from raydd.tuning.searcher import STATES, outcome_of

if TYPE_CHECKING:
    from raydd.tuning.conductor import Conductor
    from raydd.tuning.progress import Progress
    from raydd.tuning.studies import Study
    from raydd.tuning.tracking import Tracker


def _warns(hook: Callable[..., None]) -> Callable[..., None]:
    """A hook whose errors are told and not raised."""

    @functools.wraps(hook)
    def safe(self: StudyCallback, *arguments: Any, **named: Any) -> None:
        try:
            hook(self, *arguments, **named)
        except Exception as error:
            self.progress.warning(f"{hook.__name__}: {type(error).__name__}: {error}")

    return safe


UNBORN = 20  # workers that may die before they begin a trial, as where they cannot import what they need


class StudyCallback(Callback):
    """Ray calls it in the driver; what goes wrong becomes a warning, because an exception would end the search.

    Args:
        study: the study's folder.
        tracker: the MLflow writer.
        progress: the display.
        conductor: decides whether the search goes on.
        tags: tags of every child run.
        iterations: length of a full trial, where the trial itself does not say.
    """

    def __init__(
        self,
        study: Study,
        tracker: Tracker,
        progress: Progress,
        conductor: Conductor,
        *,
        tags: Mapping[str, str],
        iterations: int,
    ) -> None:
        self.study, self.tracker, self.progress, self.conductor = study, tracker, progress, conductor
        self.tags, self.iterations = dict(tags), iterations
        self.drawn: dict[int, dict[str, Any]] = {}
        self.ended: set[int] = set()
        self.told: dict[int, int] = {}  # failures of a trial that are written down
        self.unborn = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"study": self.study}  # Ray pickles it into a file that nobody reads

    def setup(self, *_: Any, **info: Any) -> None:
        """Take the signals back that Ray Tune has just taken over."""
        self.conductor.signals.install()

    @_warns
    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look whether the search goes on."""
        self.conductor.look()

    @_warns
    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open the child run; called again on every retry."""
        number = int(trial.config["number"])
        self._open(number)
        for row in self.study.history(number):  # what an attempt reported when nobody listened any more
            self.tracker.log_trial(number, metrics_of(row), int(row["iteration"]))

    @_warns
    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note what only Ray knows of an attempt's end, and say that the trial goes on."""
        number = int(trial.config["number"])
        trial_files = self.study.trial_files(number)
        attempts = trial_files.attempts()
        known = {failure["attempt"] for failure in trial_files.failures()}
        session = int(trial.config["session"])
        begun = trial_files.begun(attempts[-1]) if attempts else {}
        # Not one of an earlier session, where a worker dies before it has begun.
        if begun.get("session") == session and attempts[-1] not in known:
            text = error_text(trial)
            # An exception would have been written down by the worker itself.
            kind = "memory" if failures.kind_of_text(text) == "memory" else "lost"
            Attempt(trial_files, attempts[-1]).failed(
                kind, why_lost(kind, text), text, session=session, iteration=int(begun["iteration"])
            )
        failed = trial_files.failures()
        if len(failed) <= self.told.get(number, 0):
            self.unborn += 1
            if self.unborn >= UNBORN:
                self.conductor.stop(f"workers die before they begin a trial: {last_line(error_text(trial))}")
        self.told[number] = len(failed)
        if failed:
            self.progress.message(
                f"trial {number}: {failed[-1]['why']}; it is tried again from its last checkpoint"
            )

    def _open(self, number: int) -> None:
        if number not in self.drawn:
            self.drawn[number] = files.read_json(self.study.trial_folder(number) / "hyperparameters.json")
        drawn = self.drawn[number]
        tags = {**self.tags, "raydd.trial": str(number), "raydd.source": drawn["source"]}
        if "replicate" in drawn:
            tags |= {"raydd.replicate": str(drawn["replicate"]), "raydd.seed": str(drawn["seed"])}
        self.tracker.open_trial(number, params=drawn["searched"], tags=tags)

    @_warns
    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Log the report; a report without a fresh evaluation does not repeat the carried accuracy."""
        number = int(result["number"])
        if "seconds" not in result:  # an attempt that gave up at once has nothing to report
            return
        self.conductor.worked(number, int(result["attempt"]), float(result["seconds"]))
        self.tracker.log_trial(number, metrics_of(result), int(result["iteration"]))
        if result["evaluated"]:
            self._artifacts(number)
        self._show(number, result, outcome=None)

    @_warns
    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write down the outcome and close the child run."""
        result = trial.last_result
        if result and "number" in result:
            number, outcome, why = int(result["number"]), outcome_of(result), str(result.get("why", ""))
            if outcome == "interrupted":
                self.tracker.close_trial(number, outcome, why)
                self._show(number, result, outcome=outcome)
                if result.get("kind") == "disk":
                    self.conductor.stop(f"the disk is full ({why})")
            else:
                self._end(number, outcome, str(result.get("kind", "")), why, result)

    @_warns
    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Write down the reason, which is the last line of the traceback, and keep all of it."""
        number = int(trial.config["number"])
        self._open(number)  # an attempt that failed in its set-up was never started for Ray
        text = error_text(trial)
        kind = failures.kind_of_text(text)
        files.write_text(self.study.trial_folder(number) / "error.txt", text)
        self._end(number, "failed", kind, why_lost(kind, text), trial.last_result or {})

    def _artifacts(self, number: int) -> None:
        self.study.trial_files(number).publish()
        folder = self.study.trial_folder(number)
        self.tracker.trial_artifacts(number, {"distilled/grid.png": folder / "grid.png", **pictures(folder)})

    def _end(self, number: int, outcome: str, kind: str, why: str, result: Mapping[str, Any]) -> None:
        if number in self.ended:
            return
        self.ended.add(number)
        self.study.write_end(number, outcome, why, kind)
        finish_files(self.study, number, outcome)
        record = self.study.trial(number, running=True)
        seconds = record.seconds or 0.0
        self.tracker.trial_artifacts(number, artifacts(self.study, number))
        self.tracker.close_trial(number, outcome, why, {"seconds": seconds})
        self._show(number, {**result, "seconds": seconds}, outcome=outcome)
        self.conductor.ended(outcome, kind, why, record.val_accuracy)

    def _show(self, number: int, result: Mapping[str, Any], *, outcome: str | None) -> None:
        drawn = self.drawn.get(number, {})
        self.progress.trial(
            number,
            iteration=int(result.get("iteration", 0)),
            iterations=int(drawn.get("iterations", self.iterations)),
            val_accuracy=float(result.get("val_accuracy", math.nan)),
            std=float(result.get("val_accuracy_std", math.nan)),
            outcome=outcome,
            hyperparameters=drawn.get("searched", {}),
            source=drawn.get("source", ""),
            seconds=float(result.get("seconds", math.nan)),
        )


def replay(study: Study, tracker: Tracker, tags: Mapping[str, str]) -> None:
    """Log again what earlier drivers may have failed to: every report and end on disk; the tracker fills gaps only."""
    for trial in study.trials():
        if trial.outcome not in STATES:  # it will go on, and is opened then
            continue
        source = {"raydd.trial": str(trial.number), "raydd.source": trial.source}
        tracker.open_trial(trial.number, params=trial.hyperparameters, tags={**tags, **source})
        finish_files(study, trial.number, trial.outcome)
        for row in study.history(trial.number):
            tracker.log_trial(trial.number, metrics_of(row), int(row["iteration"]))
        tracker.trial_artifacts(trial.number, artifacts(study, trial.number))
        tracker.close_trial(trial.number, trial.outcome, trial.why, {"seconds": trial.seconds or 0.0})


def artifacts(study: Study, number: int) -> dict[str, Path]:
    """Files of a trial that MLflow keeps, by artifact path."""
    folder = study.trial_folder(number)
    return {
        "distilled/grid.png": folder / "grid.png",
        "distilled/distilled.safetensors": folder / "distilled.safetensors",
        "hyperparameters.json": folder / "hyperparameters.json",
        "error.txt": folder / "error.txt",
        **pictures(folder),
    }


def pictures(folder: Path) -> dict[str, Path]:
    """What a method drew of a trial's images, by artifact path; see `raydd.registry.Distiller.pictures`."""
    return {f"pictures/{path.name}": path for path in sorted((folder / "pictures").glob("*.png"))}


def metrics_of(result: Mapping[str, Any]) -> dict[str, float]:
    """The MLflow metrics of one report (contracts: fractions, step = iteration); measures lose their prefix."""
    keys = [
        key
        for key in result
        if key in ("progress", "images_per_second", "memory_mb", "checkpoint_mb", "checkpoint_seconds")
        or key.startswith("loss/")
    ]
    if result["evaluated"]:
        keys += ["val_accuracy", "val_accuracy_std"]
    found = {key: float(result[key]) for key in keys}
    found |= {key.removeprefix(MEASURE): float(result[key]) for key in result if key.startswith(MEASURE)}
    return {key: value for key, value in found.items() if math.isfinite(value)}


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


def why_lost(kind: str, text: str) -> str:
    """One sentence about a failure of which only Ray's message is left."""
    if kind == "lost":
        return "its worker process or its node died"
    if kind == "memory":
        found = next((line.strip() for line in text.splitlines() if failures.MEMORY.search(line)), "")
        return f"out of memory: {found[:300]}" if found else "out of memory"
    return last_line(text)


def last_line(text: str) -> str:
    """What a traceback ends with."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "the worker died"


def error_text(trial: Any) -> str:
    """The traceback that Ray kept of a failed trial, or one sentence."""
    path = trial.error_file
    try:
        with open(path) as file:
            return file.read()
    except (OSError, TypeError):
        return "the worker died without a traceback"
