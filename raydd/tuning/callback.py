"""What the driver does while trials run: feed the tracker and the progress display, write down how trials end."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ray.tune import Callback

from raydd import failures, files
from raydd.storage.trial import Attempt
from raydd.tuning import descriptions
from raydd.tuning.course import Course
from raydd.tuning.replay import artifacts, finish_files, metrics_of, pictures, report_times, trial_tags
from raydd.tuning.searcher import outcome_of

if TYPE_CHECKING:
    from raydd.tuning.conductor import Conductor
    from raydd.tuning.parent import Parent
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
        parent: what all runs have in common.
        iterations: length of a full trial, where the trial itself does not say.
    """

    def __init__(
        self,
        study: Study,
        tracker: Tracker,
        progress: Progress,
        conductor: Conductor,
        *,
        parent: Parent,
        iterations: int,
    ) -> None:
        self.study, self.tracker, self.progress, self.conductor = study, tracker, progress, conductor
        self.parent, self.iterations = parent, iterations
        self.course = Course(study, tracker, parent)
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
        rows = self.study.history(number)  # what an attempt reported when nobody listened any more
        times = report_times(self.study.trial_files(number), rows)
        self.tracker.log_reports(
            number, [(metrics_of(row), int(row["iteration"]), time) for row, time in zip(rows, times)]
        )

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
        self.tracker.open_trial(
            number,
            params=drawn["searched"],
            tags={**self.parent.tags, **trial_tags(number, drawn)},
            description=self._description(number),
        )

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
                self.tracker.close_trial(number, outcome, why, description=self._description(number))
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
        self.tracker.trial_artifacts(number, pictures(self.study, number), self._node(number))

    def _node(self, number: int) -> str:
        """Where the newest attempt runs or ran, if it was on a node of Ray's."""
        trial_files = self.study.trial_files(number)
        attempts = trial_files.attempts()
        return str(trial_files.begun(attempts[-1]).get("node", "")) if attempts else ""

    def _description(self, number: int) -> str:
        return descriptions.of_trial(self.study.name, self.study.trial(number, running=True), self.parent)

    def _end(self, number: int, outcome: str, kind: str, why: str, result: Mapping[str, Any]) -> None:
        if number in self.ended:
            return
        self.ended.add(number)
        self.study.write_end(number, outcome, why, kind)
        finish_files(self.study, number, outcome)
        record = self.study.trial(number, running=True)
        seconds = record.seconds or 0.0
        self.tracker.trial_artifacts(number, artifacts(self.study, number), self._node(number))
        self.tracker.close_trial(
            number,
            outcome,
            why,
            {"seconds": seconds},
            description=descriptions.of_trial(self.study.name, record, self.parent),
        )
        self._show(number, {**result, "seconds": seconds}, outcome=outcome)
        self.conductor.ended(outcome, kind, why, record.val_accuracy)
        self.course.ended(record, self.conductor.searcher.total)

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
