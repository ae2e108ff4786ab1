"""What ends a search early, and who is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raydd import config as configuration
from raydd.storage.stop_sign import NOW, REPORT, StopSign
from raydd.tuning.budget import Budget, Session
from raydd.tuning.conductor import Conductor
from raydd.tuning.signals import Signals
from raydd.tuning.studies import Study


class Searcher:
    """The part of the searcher that a conductor knows."""

    def __init__(self, left: int = 1) -> None:
        self.closed = ""
        self.remaining = left
        self.live: dict[str, Any] = {}

    def left(self) -> int:
        return self.remaining

    def close(self, why: str) -> None:
        self.closed = self.closed or why


def conductor_in(tmp_path: Path, left: int = 1, **limits: Any) -> Conductor:
    values = {"method": "iid", "home": str(tmp_path), "name": "first", "budget": limits}
    study = Study.create(configuration.build(values), {"study_id": "x"})
    searcher: Any = Searcher(left)
    return Conductor(study, searcher, Budget(study, Session(study)), Signals())


def test_a_sign_of_an_earlier_driver_is_forgotten_and_one_that_was_put_up_before_the_search_is_not(
    tmp_path: Path,
) -> None:
    study = conductor_in(tmp_path).study
    study.unlock()
    StopSign(study.folder).put(NOW, "an earlier driver")
    study.lock()
    assert StopSign(study.folder).read() is None
    StopSign(study.folder).put(NOW, "while assets were trained")
    searcher: Any = Searcher()
    conductor = Conductor(study, searcher, Budget(study, Session(study)), Signals())
    conductor.look()
    assert searcher.closed == "while assets were trained"


def test_raydd_stop_is_seen(tmp_path: Path) -> None:
    conductor = conductor_in(tmp_path)
    conductor.look()
    assert conductor.searcher.closed == ""
    StopSign(conductor.study.folder).put(NOW, "somebody wants the machine")
    conductor._looked = 0.0
    conductor.look()
    assert conductor.stopped == conductor.searcher.closed == "somebody wants the machine"


def test_a_spent_budget_lets_trials_run_to_their_next_report(tmp_path: Path) -> None:
    conductor = conductor_in(tmp_path, hours=1e-9)
    conductor.look()
    assert conductor.stopped == "the budget of 1e-09 hours is spent"
    assert conductor.sign.read() == {"mode": REPORT, "why": conductor.stopped}


def test_a_budget_that_is_spent_with_the_last_trial_stops_nothing(tmp_path: Path) -> None:
    conductor = conductor_in(tmp_path, left=0, hours=1e-9)
    conductor.look()
    assert (conductor.stopped, conductor.sign.read()) == ("", None)


def test_patience_ends_the_asking_and_lets_trials_run_to_their_end(tmp_path: Path) -> None:
    conductor = conductor_in(tmp_path, patience=2)
    for accuracy in (0.5, 0.4, 0.3):
        conductor.ended("complete", "", "", accuracy)
    conductor.look()
    assert conductor.searcher.closed == "2 trials in a row have brought nothing better"
    assert (conductor.stopped, conductor.sign.read()) == ("", None)


def test_trials_that_all_fail_alike_end_the_search_for_good(tmp_path: Path) -> None:
    conductor = conductor_in(tmp_path)
    for _ in range(3):
        conductor.ended("failed", "error", "ValueError: wrong", None)
    assert conductor.hopeless == "all 3 trials failed for the same reason: ValueError: wrong"
    assert conductor.sign.read() == {"mode": NOW, "why": conductor.hopeless}
    assert conductor.searcher.closed == conductor.hopeless


@pytest.mark.parametrize("first", [REPORT, NOW])
def test_the_first_reason_is_the_one_that_is_told(tmp_path: Path, first: str) -> None:
    conductor = conductor_in(tmp_path)
    conductor.stop("one", first)
    conductor.stop("two")
    assert (conductor.stopped, conductor.searcher.closed) == ("one", "one")
    assert conductor.sign.read()["mode"] == NOW
