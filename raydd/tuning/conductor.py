"""`Conductor`: decides, while trials run, whether the search goes on, and tells those who have to know."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from raydd.storage.stop_sign import NOW, REPORT, StopSign
from raydd.tuning.abort import AbortRule

if TYPE_CHECKING:
    from raydd.tuning.budget import Budget
    from raydd.tuning.searcher import StudySearcher
    from raydd.tuning.signals import Signals
    from raydd.tuning.studies import Study

LOOK = 0.5  # seconds between two looks at the study's folder


class Conductor:
    """What may end a search early: a signal, `raydd stop`, a budget, a full disk, trials that all fail alike.

    Workers see the stop sign in the study's folder, leave a checkpoint and report; the searcher hands out no more
    trials. So Ray Tune ends as if it were done, with every report taken in.

    Args:
        study: locked by this process.
        searcher: hands out the trials.
        budget: counts what they cost.
        signals: of this process.
    """

    def __init__(self, study: Study, searcher: StudySearcher, budget: Budget, signals: Signals) -> None:
        self.study, self.searcher, self.budget, self.signals = study, searcher, budget, signals
        self.sign = StopSign(study.folder)
        self.abort = AbortRule(study.trials())
        self.hopeless = ""  # why the search is given up, if it is
        self.stopped = ""  # why it stops and can be resumed
        self._looked = 0.0

    def stop(self, why: str, mode: str = NOW) -> None:
        """Let running trials leave a checkpoint and stop, and begin no more."""
        self.stopped = self.stopped or why
        self.searcher.close(why)
        self.sign.put(mode, why)

    def look(self) -> None:
        """See, now and then, whether somebody else asked to stop, or a budget is spent."""
        if time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        if self.budget.session is not None:
            self.budget.session.beat()
        if self.stopped or self.hopeless:
            return
        over = not self.searcher.left() and not self.searcher.live
        asked, spent = self.sign.read(), None if over else self.budget.spent()
        if asked is not None:
            self.stop(asked["why"], asked["mode"])
        elif spent is not None:
            self.stop(spent, REPORT)
        else:
            settled = self.budget.settled()
            if settled is not None:
                self.searcher.close(settled)

    def worked(self, number: int, attempt: int, seconds: float) -> None:
        """Take in that an attempt has lasted so long."""
        self.budget.worked(number, attempt, seconds)

    def ended(self, outcome: str, kind: str, why: str, accuracy: float | None) -> None:
        """Take in the end of a trial."""
        self.budget.ended(outcome, accuracy)
        hopeless = self.abort.ended(outcome, kind, why)
        if hopeless is not None and not self.hopeless:
            self.hopeless = hopeless
            self.searcher.close(hopeless)
            self.sign.put(NOW, hopeless)
