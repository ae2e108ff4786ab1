"""`AbortRule`: a study whose trials all fail for the same reason is not going to find anything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from raydd import failures

if TYPE_CHECKING:
    from raydd.tuning.studies import TrialRecord

ENOUGH = 3


class AbortRule:
    """Watches how trials end.

    Args:
        trials: that ended before; if one of them did not fail, the rule never applies.
    """

    def __init__(self, trials: Iterable[TrialRecord]) -> None:
        self._harmless = any(trial.outcome in ("complete", "pruned", "diverged") for trial in trials)
        self._reasons: list[str] = []

    def ended(self, outcome: str, kind: str, why: str) -> str | None:
        """Take in the end of a trial of this session; the sentence to stop the study with, once there is one."""
        if outcome == "interrupted":
            return None
        self._harmless |= outcome != "failed"
        self._reasons.append(failures.reason(kind, why))
        if self._harmless or len(self._reasons) < ENOUGH or len(set(self._reasons)) > 1:
            return None
        return f"all {len(self._reasons)} trials failed for the same reason: {why}"
