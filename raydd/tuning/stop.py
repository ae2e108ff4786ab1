"""Asking the driver of a study, which may run on another machine, to stop it or one of its trials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydd.errors import StudyError
from raydd.storage.stop_sign import NOW, StopSign
from raydd.tuning.commands import command

if TYPE_CHECKING:
    from raydd.tuning.studies import Study

WHY = "stopped by raydd stop"


def stop(study: Study, trial: int | None = None) -> str:
    """Ask a study, or one of its trials, to stop behind the iteration that runs; returns what happens then.

    Args:
        study: that somebody runs.
        trial: its number; None is the whole study.

    Raises:
        StudyError: nobody runs the study or hears of the question, or the trial has ended.
    """
    if trial is not None:
        _check_trial(study, trial)
    if not study.is_running():
        raise StudyError(f"study {study.name!r} is not running, so there is nothing to stop")
    if trial is not None:
        StopSign(study.folder).put(NOW, WHY, trial)
        return (
            f"asked trial {trial} of study {study.name} to stop: it ends behind its iteration and counts as pruned; "
            "the study goes on"
        )
    StopSign(study.folder).put(NOW, WHY)
    return (
        f"asked study {study.name} to stop: trials leave checkpoints behind their iterations, other tasks what they "
        "have finished; "
        f"`{command(study, 'resume')}` goes on where it stopped"
    )


def _check_trial(study: Study, number: int) -> None:
    record = study.trial(number)
    if (study.trial_folder(number) / "end.json").exists():
        raise StudyError(f"trial {number} of study {study.name!r} has ended already: {record.outcome}")
