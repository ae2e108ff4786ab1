"""A frozen winner stays while its candidates are the same, and is kept when others join them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from raydd import files
from raydd.tuning import frozen
from raydd.tuning.studies import Study


def trial_of(study: Study, number: int, outcome: str, accuracy: float) -> None:
    drawn = {"number": number, "source": "startup", "searched": {}, "values": {}, "iterations": 1, "seed": 0}
    files.write_json(study.trial_folder(number) / "hyperparameters.json", drawn)
    attempt = study.trial_files(number).claim()
    attempt.begin(None, {})
    row = {"iteration": 1, "evaluated": 1, "val_accuracy": accuracy, "val_accuracy_std": 0.0}
    attempt.report({**row, "attempt": 1, "seconds": 1.0})
    study.write_end(number, outcome, "")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    study = Study(tmp_path / "studies" / "first")
    trial_of(study, 0, "complete", 0.5)
    trial_of(study, 1, "pruned", 0.4)
    trial_of(study, 2, "complete", 0.6)
    return study


def freeze(study: Study, winner: int, **facts: Any) -> None:
    files.write_json(study.folder / "confirm" / "winner.json", {"winner": winner, **facts})
    files.write_json(study.folder / "confirm" / "report.json", {"winner": {"trial": winner}})


def test_a_winner_stays_until_another_complete_trial_joins(study: Study) -> None:
    assert frozen.winner(study) is None
    assert frozen.retire(study) is None
    assert frozen.candidates(study) == [0, 2]
    freeze(study, 2, candidates=[0, 2])
    trial_of(study, 3, "pruned", 0.9)
    trial_of(study, 4, "failed", 0.9)
    assert frozen.winner(study) == {"winner": 2, "candidates": [0, 2]}
    trial_of(study, 5, "complete", 0.1)
    assert frozen.winner(study) is None


def test_earlier_winners_and_their_reports_are_numbered(study: Study) -> None:
    confirm = study.folder / "confirm"
    for k, winner in ((1, 2), (2, 0)):
        freeze(study, winner, candidates=[0])
        assert frozen.retire(study) == confirm / "history" / str(k)
        assert not (confirm / "winner.json").exists()
        assert not (confirm / "report.json").exists()
    kept = [(files.read_json(one / "winner.json")["winner"], one.name) for one in frozen.history(study)]
    assert kept == [(2, "1"), (0, "2")]
    assert files.read_json(confirm / "history" / "2" / "report.json") == {"winner": {"trial": 0}}


def test_a_driver_that_died_in_between_leaves_no_second_copy(study: Study) -> None:
    confirm = study.folder / "confirm"
    freeze(study, 2, candidates=[0])
    frozen.retire(study)
    shutil.copyfile(confirm / "history" / "1" / "winner.json", confirm / "winner.json")
    assert frozen.retire(study) == confirm / "history" / "1"
    assert [one.name for one in frozen.history(study)] == ["1"]
    assert not (confirm / "winner.json").exists()


def test_a_winner_of_unknown_candidates_is_chosen_anew(study: Study) -> None:
    freeze(study, 2)
    assert frozen.winner(study) is None
