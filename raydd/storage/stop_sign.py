"""`StopSign`: how a study, or one of its trials, is asked to stop, by whoever can write into its folder.

The driver and its workers, which may run on other nodes, look at it; nothing else connects them all.
"""

from __future__ import annotations

from pathlib import Path

from raydd import files

NOW, REPORT = "now", "report"
"""Stop with a checkpoint after the iteration that runs, or at the next report."""

NAME = "stop.json"


class StopSign:
    """The stop sign of a study.

    Args:
        study: its folder.
    """

    def __init__(self, study: Path) -> None:
        self.study = study

    def put(self, mode: str, why: str, trial: int | None = None) -> None:
        """Ask the study, or one trial, to stop.

        Args:
            mode: `NOW` or `REPORT`.
            why: for the person who reads it.
            trial: its number; None is the study.
        """
        files.write_json(self._path(trial), {"mode": mode, "why": why})

    def read(self, trial: int | None = None) -> dict[str, str] | None:
        """`mode` and `why`, if somebody asked."""
        try:
            found: dict[str, str] = files.read_json(self._path(trial))
        except (OSError, ValueError):
            return None
        return found

    def take_down(self) -> None:
        """Forget that the study was asked; what single trials were asked stays."""
        self._path(None).unlink(missing_ok=True)

    def _path(self, trial: int | None) -> Path:
        return self.study / NAME if trial is None else self.study / "trials" / str(trial) / NAME
