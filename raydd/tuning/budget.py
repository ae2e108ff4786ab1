"""What a search may cost, counted over all its sessions, and when it has been spent."""

from __future__ import annotations

import datetime
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from raydd import files

if TYPE_CHECKING:
    from raydd.tuning.studies import Study

BEAT = 15.0  # seconds between two notes of how long a session has lasted: what a SIGKILL hides of its hours


FOLDER = "sessions"
UNITS = {"hours": "hours", "gpu_hours": "GPU-hours"}  # fields of the budget, and what they are called


def sessions(study: Study) -> dict[int, dict[str, Any]]:
    """Sessions of a study's search: `begun`, `host`, `pid`, and the `seconds` that each lasted, by number."""
    paths = [path for path in (study.folder / FOLDER).glob("*.json") if path.stem.isdigit()]
    return {int(path.stem): files.read_json(path) for path in paths}


class Session:
    """One driver's work on a study's search: `sessions/<n>.json`.

    Args:
        study: locked by this process.
    """

    def __init__(self, study: Study) -> None:
        earlier = sessions(study)
        self.number = max(earlier, default=0) + 1
        self._path = study.folder / FOLDER / f"{self.number}.json"
        self._begun = self._beaten = time.monotonic()
        self._facts: dict[str, Any] = {
            "begun": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        self._write()

    @property
    def seconds(self) -> float:
        """Wall time of this session."""
        return time.monotonic() - self._begun

    def beat(self) -> None:
        """Note the time now and then, so that hardly any is lost when the driver is killed."""
        if time.monotonic() - self._beaten > BEAT:
            self._write()

    def end(self) -> None:
        """Note the time."""
        self._write()

    def _write(self) -> None:
        self._beaten = time.monotonic()
        files.write_json(self._path, {**self._facts, "seconds": self.seconds})


class Budget:
    """Says when the search of a study has cost what it may.

    Args:
        study: whose earlier sessions and trials are counted.
        session: that runs, or None.
    """

    def __init__(self, study: Study, session: Session | None = None) -> None:
        config = study.config
        self.config, self.share = config.budget, config.resources.gpus_per_trial
        self.session = session
        own = None if session is None else session.number
        self._earlier = sum(
            float(found["seconds"]) for number, found in sessions(study).items() if number != own
        )
        self._attempts: dict[tuple[int, int], float] = {}
        self._best: float | None = None
        self.in_vain = 0
        for trial in sorted(study.trials(), key=lambda one: study.ended_at(one.number)):
            for attempt, seconds in study.trial_files(trial.number).seconds().items():
                self.worked(trial.number, attempt, seconds)
            self.ended(trial.outcome, trial.val_accuracy)

    def worked(self, number: int, attempt: int, seconds: float) -> None:
        """Take in that an attempt has lasted so long."""
        self._attempts[number, attempt] = seconds

    def ended(self, outcome: str, accuracy: float | None) -> None:
        """Take in the end of a trial; those that failed say nothing about the search's progress."""
        if outcome == "complete" and accuracy is not None and (self._best is None or accuracy > self._best):
            self._best, self.in_vain = accuracy, 0
        elif outcome in ("complete", "pruned", "diverged"):
            self.in_vain += 1

    @property
    def hours(self) -> float:
        """Wall time of all sessions."""
        return (self._earlier + (0.0 if self.session is None else self.session.seconds)) / 3600

    @property
    def trial_hours(self) -> float:
        """Time of all attempts of all trials."""
        return sum(self._attempts.values()) / 3600

    @property
    def gpu_hours(self) -> float:
        """GPU time of all attempts of all trials."""
        return self.share * self.trial_hours

    def exhausted(self) -> dict[str, float]:
        """Those of `hours` and `gpu_hours` of which nothing is left, and how much was used."""
        used = {name: getattr(self, name) for name in UNITS}
        limits = {name: getattr(self.config, name) for name in UNITS}
        return {name: used[name] for name in UNITS if limits[name] is not None and used[name] >= limits[name]}

    def spent(self) -> str | None:
        """What has been spent of hours and GPU-hours, as a sentence; None where there is some left."""
        name = next(iter(self.exhausted()), None)
        return (
            None if name is None else f"the budget of {getattr(self.config, name):g} {UNITS[name]} is spent"
        )

    def settled(self) -> str | None:
        """That so many trials have brought nothing better that there is no use in more of them, as a sentence."""
        if self.config.patience is None or self.in_vain < self.config.patience:
            return None
        return f"{self.in_vain} trials in a row have brought nothing better"
