"""What a search has cost, over several sessions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from raydd import config as configuration
from raydd import files
from raydd.tuning import budget
from raydd.tuning.budget import Budget, Session, sessions
from raydd.tuning.studies import Study


def study_with(tmp_path: Path, gpus: float = 0.5, **limits: Any) -> Study:
    values = {
        "method": "iid",
        "home": str(tmp_path),
        "name": "first",
        "resources": {"gpus_per_trial": gpus},
        "budget": limits,
    }
    study = Study.create(configuration.build(values), {"study_id": "x"})
    study.unlock()
    return study


def add_trial(study: Study, number: int, outcome: str, accuracy: float, seconds: float = 1800.0) -> None:
    drawn = {"number": number, "source": "model", "searched": {}, "values": {}, "iterations": 10, "seed": 0}
    files.write_json(study.trial_folder(number) / "hyperparameters.json", drawn)
    attempt = study.trial_files(number).claim()
    attempt.begin(None, {})
    row = {"iteration": 1, "evaluated": 1, "val_accuracy": accuracy, "val_accuracy_std": 0.0}
    attempt.report({**row, "attempt": 1, "seconds": seconds})
    study.write_end(number, outcome, "")


def test_sessions_are_numbered_and_their_hours_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    study = study_with(tmp_path, hours=2.0)
    first = Session(study)
    now[0] += 3600.0
    first.end()
    second = Session(study)
    assert (first.number, second.number) == (1, 2)
    spending = Budget(study, second)
    assert spending.hours == 1.0
    assert spending.spent() is None
    now[0] += 3600.0
    assert spending.hours == 2.0
    assert spending.spent() == "the budget of 2 hours is spent"


def test_a_session_that_is_killed_has_lost_a_few_seconds_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    study = study_with(tmp_path)
    session = Session(study)
    for _ in range(100):
        now[0] += 1.0
        session.beat()
    assert 100.0 - budget.BEAT - 1 <= sessions(study)[1]["seconds"] <= 100.0


def test_gpu_hours_are_the_time_of_all_attempts_times_the_share(tmp_path: Path) -> None:
    study = study_with(tmp_path, gpus=0.5, gpu_hours=1.0)
    add_trial(study, 0, "complete", 0.5, seconds=3600.0)
    spending = Budget(study, Session(study))
    assert spending.gpu_hours == 0.5
    spending.worked(1, 1, 1800.0)
    spending.worked(1, 1, 1900.0)  # the same attempt goes on
    spending.worked(1, 2, 100.0)
    assert spending.gpu_hours == pytest.approx(0.5 * (3600 + 1900 + 100) / 3600)
    assert spending.spent() is None
    spending.worked(1, 2, 1700.0)
    assert spending.spent() == "the budget of 1 GPU-hours is spent"


def test_patience_counts_trials_since_the_best_one(tmp_path: Path) -> None:
    study = study_with(tmp_path, patience=3)
    for number, (outcome, accuracy) in enumerate(
        [("complete", 0.5), ("pruned", 0.9), ("complete", 0.6), ("failed", 0.1), ("diverged", 0.1)]
    ):
        add_trial(study, number, outcome, accuracy)
    spending = Budget(study)
    assert spending.in_vain == 1
    spending.ended("complete", 0.6)  # as good is no better
    assert spending.settled() is None
    spending.ended("pruned", 0.7)
    assert spending.settled() == "3 trials in a row have brought nothing better"
    spending.ended("complete", 0.61)
    assert spending.settled() is None


def test_patience_counts_in_the_order_in_which_trials_ended(tmp_path: Path) -> None:
    study = study_with(tmp_path, patience=3)
    for number, accuracy in enumerate((0.5, 0.4, 0.41, 0.42)):
        add_trial(study, number, "complete", accuracy)
    os.utime(study.trial_folder(0) / "end.json", (2e9, 2e9))  # the longest one, and the best
    assert Budget(study).in_vain == 0
    assert study.ended_at(0) == 2e9


def test_without_limits_nothing_is_ever_spent(tmp_path: Path) -> None:
    study = study_with(tmp_path)
    add_trial(study, 0, "complete", 0.5, seconds=1e9)
    spending = Budget(study)
    assert (spending.spent(), spending.settled()) == (None, None)
