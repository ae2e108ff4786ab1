"""Bringing a study into a tracking store from its folder alone: after an outage, or into another store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raydd import files
from raydd.errors import TrackingError
from raydd.tuning import extending, frozen
from raydd.tuning.course import OPEN
from raydd.tuning.parent import Parent, artifact_root, open_parent, show_end, tracking_uri
from raydd.tuning.replay import replay
from raydd.tuning.searcher import open_optuna, write_missing_ends
from raydd.tuning.store_uri import redact
from raydd.tuning.studies import complete
from raydd.tuning.tracking import Tracker

if TYPE_CHECKING:
    from raydd.tuning.studies import Study

PATIENCE = 60.0  # seconds that the store may be away before it is given up
LOOK = 0.5


@dataclass(frozen=True)
class Synchronised:
    """What was done.

    Attributes:
        trials: that the store now has.
        points: metric values that it lacked and now has.
        uploaded: files that it lacked and now has.
        uri: of the store, without a password.
        experiment_id, run_id: of the study's parent run.
    """

    trials: int
    points: int
    uploaded: int
    uri: str
    experiment_id: str
    run_id: str


def synchronise(
    study: Study,
    *,
    uri: str | None = None,
    trials: bool = True,
    said: Callable[[str], None] = lambda line: None,
) -> Synchronised:
    """Write what a tracking store lacks of a study; what it has stays as it is, so it may be done again.

    Args:
        study: on disk; no driver may be at work on it.
        uri: of the store; None is the study's own. Another one gets a copy, and the study goes on in its own.
        trials: whether the trials' runs are looked at; False brings what is the study's own, such as a report that was
            written since.
        said: told a line now and then.

    Raises:
        StudyError: a driver is at work on the study, and writes itself.
        TrackingError: the store cannot be used, goes away for good, or refuses something.
    """
    study.lock()
    try:
        return _write(study, uri, trials, said)
    finally:
        study.unlock()


def _write(study: Study, uri: str | None, trials: bool, said: Callable[[str], None]) -> Synchronised:
    config = study.config
    if study.journal.exists():
        write_missing_ends(study, open_optuna(study.journal, study.name).get_trials(deepcopy=False))
    parent = Parent.spooled(study)
    if parent is None:  # begun by an older raydd, which did not write it down
        said("the study's folder does not say all that its run does; loading its data")
        parent = Parent.of(study, extending.planned(study, config, verify=False))
    own = tracking_uri(config) if uri is None else uri
    root = artifact_root(config)
    Tracker.preflight(own, parent.experiment, root)
    tracker = Tracker(own, parent.experiment, artifact_root=root)
    count = len(study.numbers())
    try:
        open_parent(tracker, study, parent, goes_on=False)
        _wait(tracker)
        _refused(own, tracker)

        def wrote(number: int) -> None:
            _wait(tracker)
            said(f"trial {number} of {count}")

        if trials:
            replay(study, tracker, parent, still_open=True, wrote=wrote)
        show_end(tracker, study, parent)
        tracker.close_study(_status(study), _ended(study))
        _wait(tracker)
    finally:
        tracker.close(0)
    links = tracker.links()
    if uri is None and trials:
        whole = not tracker.problems and study.report() is not None
        files.write_json(study.folder / "tracking.json", {**links, "whole": whole})
    _refused(own, tracker)
    points, uploaded = tracker.written
    return Synchronised(count, points, uploaded, links["uri"], links["experiment_id"], links["run_id"])


def _wait(tracker: Tracker) -> None:
    """Until all is written.

    Raises:
        TrackingError: the store has been away for too long.
    """
    away = time.monotonic()
    while not tracker.flush(LOOK):
        if not tracker.away:
            away = time.monotonic()
        elif time.monotonic() - away > PATIENCE:
            raise TrackingError(
                f"the tracking store does not answer any more ({tracker.away}); what it has stays, and the same "
                "command goes on where this one stopped"
            )


def _refused(uri: str, tracker: Tracker) -> None:
    """Say what the store did not take.

    Raises:
        TrackingError: a line for everything.
    """
    if tracker.problems:
        raise TrackingError("\n".join(f"{redact(uri)}: {problem}" for problem in tracker.problems))


def _ended(study: Study) -> int | None:
    """When the study's newest result was written, in milliseconds since 1970; None where there is none."""
    paths = [study.trial_folder(number) / "end.json" for number in study.numbers()]
    paths.append(study.folder / "confirm" / "report.json")
    return max((int(1000 * path.stat().st_mtime) for path in paths if path.exists()), default=None)


def _status(study: Study) -> str:
    """Of the parent run."""
    if study.report() is not None and frozen.winner(study) is not None:
        return "FINISHED"
    trials = study.trials()
    ended = sum(trial.outcome not in OPEN for trial in trials)
    return "KILLED" if complete(trials) or ended < study.config.search.trials else "FAILED"
