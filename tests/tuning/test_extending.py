"""What a study may be asked for, what is refused, and when there is nothing to do."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import pytest

from raydd import config as configuration
from raydd import files
from raydd.errors import ConfigError, StudyError
from raydd.tuning import frozen
from raydd.tuning.extending import More, add_point, again, changes, over
from raydd.tuning.studies import Study

DEFAULT = {"lr_img": 1.0, "lambda_cm": 0.01, "lambda_cc": 0.05, "cc_form": "sum"}
FIX = {"net": "convnet-d1-w4", "pool_net": "convnet-d1-w4", "batch_real": 8}


def study_in(home: Path, **changed: Any) -> Study:
    """Of three trials of IID on digits, none of them begun."""
    values: dict[str, Any] = {
        "method": "iid",
        "name": "first",
        "home": str(home),
        "iterations": 6,
        "search": {"trials": 3, "fix": FIX},
        "evaluation": {"net": "convnet-d1-w4"},
        "compile": "off",
        "tracking": {"uri": None},
    }
    for path, value in changed.items():
        configuration.set_path(values, path.replace("__", "."), value)
    study = Study.create(configuration.build(values), {"study_id": "x"})
    study.unlock()
    return study


def trial_of(
    study: Study, number: int, accuracy: float, outcome: str | None = "complete", **values: Any
) -> None:
    """A trial that has ended with an accuracy."""
    searched = DEFAULT | values
    drawn = {"number": number, "source": "startup", "searched": searched, "values": {**searched, **FIX}}
    files.write_json(
        study.trial_folder(number) / "hyperparameters.json", {**drawn, "iterations": 6, "seed": 0}
    )
    attempt = study.trial_files(number).claim()
    attempt.begin(None, {})
    row = {"iteration": 6, "evaluated": 1, "val_accuracy": accuracy, "val_accuracy_std": 0.0}
    attempt.report({**row, "attempt": 1, "seconds": 3600.0})
    if outcome is not None:
        study.write_end(number, outcome, "")


def ended(study: Study, *accuracies: float) -> Study:
    for number, accuracy in enumerate(accuracies):
        trial_of(study, number, accuracy, lr_img=1.0 + number)
    return study


def used(study: Study, hours: float) -> None:
    files.write_json(study.folder / "sessions" / "1.json", {"seconds": 3600 * hours})


def confirmed(study: Study) -> None:
    """As a confirmation leaves it."""
    ranking = {"winner": 0, "candidates": frozen.candidates(study)}
    files.write_json(study.folder / "confirm" / "winner.json", ranking)
    files.write_json(study.folder / "confirm" / "report.json", {})
    files.write_json(study.folder / "tracking.json", {"whole": True})
    (study.home / "mlflow.db").touch()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (More(), {}),
        (More(trials="3", patience=None), {}),
        (More(trials="5"), {"search.trials": 5}),
        (More(trials="+5"), {"search.trials": 8}),
        (More(hours="2"), {"budget.hours": 2.0}),
        (More(hours="+2"), {"budget.hours": 2.5}),  # half an hour is used, and there was no limit
        (More(gpu_hours=".5"), {"budget.gpu_hours": 0.5}),
        (
            More(trials=4, hours=1, patience=7),
            {"search.trials": 4, "budget.hours": 1.0, "budget.patience": 7},
        ),
    ],
)
def test_totals_and_further_ones_become_fields(tmp_path: Path, more: More, expected: dict[str, Any]) -> None:
    study = study_in(tmp_path)
    used(study, 0.5)
    assert changes(study, more) == expected
    assert study.extensions() == []


@pytest.mark.parametrize(("hours", "total"), [(1.0, 6.0), (4.5, 6.5)])
def test_further_hours_come_on_top_of_the_limit_or_of_what_was_used_beyond_it(
    tmp_path: Path, hours: float, total: float
) -> None:
    study = study_in(tmp_path, budget__hours=4.0)
    used(study, hours)
    assert changes(study, More(hours="+2")) == {"budget.hours": total}


@pytest.mark.parametrize(
    ("more", "error", "sentence"),
    [
        (
            More(trials="2"),
            StudyError,
            "--trials: 2 are fewer than the 3 that study 'first' was asked for (3 are begun)",
        ),
        (
            More(trials="+0"),
            ConfigError,
            "--trials: must be a whole number such as 40, or +10 for ten more, got '+0'",
        ),
        (More(trials="4.5"), ConfigError, "--trials: must be a whole number"),
        (More(trials="-1"), ConfigError, "got '-1'"),
        (More(hours="two"), ConfigError, "--hours: must be hours such as 8, or +0.5 for more, got 'two'"),
        (
            More(hours="1"),
            StudyError,
            "--hours: 1 would be spent at once, because study 'first' has used 1.25",
        ),
        (More(trials="9", patience=2), StudyError, "because 2 trials in a row have brought nothing better"),
    ],
)
def test_less_than_there_is_and_what_could_not_be_run_is_one_sentence(
    tmp_path: Path, more: More, error: type[Exception], sentence: str
) -> None:
    study = ended(study_in(tmp_path), 0.5, 0.4, 0.3)
    used(study, 1.25)
    with pytest.raises(error) as caught:
        changes(study, more)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_earlier_extensions_count(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    study.extend({"search.trials": 10})
    assert changes(study, More(trials="+1")) == {"search.trials": 11}
    with pytest.raises(StudyError, match="fewer than the 10"):
        changes(study, More(trials="5"))


def test_spent_hours_are_said_with_the_flag_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYDD_HOME", str(tmp_path))
    study = ended(study_in(tmp_path, budget__hours=1.0), 0.5)
    used(study, 1.25)
    assert over(study, {}) == (
        75,
        "2 of 3 trials of study first are left, and the budget of 1 hours is spent (1.25 hours used); "
        "`raydd resume first --hours +H` goes on, `raydd confirm first` reports what there is",
    )
    found = over(study, {"search.trials": 9})
    assert found is not None
    assert found[0] == 75
    assert over(study, {"budget.hours": 2.0}) is None


def test_spent_gpu_hours_name_their_own_flag(tmp_path: Path) -> None:
    study = ended(study_in(tmp_path, budget__gpu_hours=0.5, resources__gpus_per_trial=0.5), 0.5)
    assert "--gpu-hours +H` goes on" in (over(study, {}) or (0, ""))[1]  # an hour on half a GPU
    assert again(study) == f"`raydd resume first --home {tmp_path} --gpu-hours +H`"


def test_spent_hours_do_not_keep_ended_trials_from_their_confirmation(tmp_path: Path) -> None:
    study = ended(study_in(tmp_path, budget__hours=1.0), 0.5, 0.4, 0.3)
    used(study, 1.25)
    assert over(study, {}) is None
    assert "--hours" not in again(study)


def test_a_confirmed_study_is_done_until_it_is_asked_for_more(tmp_path: Path) -> None:
    study = ended(study_in(tmp_path), 0.5, 0.4, 0.3)
    assert over(study, {}) is None
    confirmed(study)
    code, message = over(study, {}) or (-1, "")
    assert code == 0
    assert message.startswith(
        "study first is done: all 3 trials have ended and are confirmed; `raydd resume first"
    )
    assert message.endswith("--trials +N` asks for more")
    assert over(study, {"search.trials": 4}) is None
    study.extend({"search.trials": 4})
    assert over(study, {}) is None
    trial_of(study, 3, 0.2, lr_img=9.0)
    assert over(study, {}) is None  # it has ended, and is not confirmed with the others


def test_a_study_whose_patience_is_at_an_end_is_done_too(tmp_path: Path) -> None:
    study = ended(study_in(tmp_path, search__trials=9, budget__patience=2), 0.5, 0.4, 0.3)
    assert over(study, {}) is None
    confirmed(study)
    code, message = over(study, {}) or (-1, "")
    assert code == 0
    assert "the search has ended (2 trials in a row have brought nothing better)" in message
    assert "--patience P` asks for more" in message
    assert over(study, {"budget.patience": 4}) is None


def test_what_the_tracking_store_lacks_is_made_up_for(tmp_path: Path) -> None:
    study = ended(study_in(tmp_path), 0.5, 0.4, 0.3)
    confirmed(study)
    (study.home / "mlflow.db").unlink()
    assert over(study, {}) is None
    (study.home / "mlflow.db").touch()
    files.write_json(study.folder / "tracking.json", {"whole": False})
    assert over(study, {}) is None


# -- points of one's own -----------------------------------------------------------------------------------


def test_a_point_is_completed_by_trial_0_and_adds_a_trial(tmp_path: Path) -> None:
    study = ended(study_in(tmp_path), 0.5, 0.4)
    added = add_point(study, {"lambda_cc": 0.2, "batch_real": 8})
    assert added.values == {**DEFAULT, "lambda_cc": 0.2}
    assert (added.number, added.searching) == (2, False)
    assert study.extensions()[-1]["added"] == added.values
    assert study.config.search.trials == 4
    assert add_point(study, {"lambda_cc": 0.3}).number == 3
    assert study.config.search.trials == 5
    assert added.lines(study) == [
        "trial 2 will run next: cc_form=sum lambda_cc=0.2 lambda_cm=0.01 lr_img=1",
        f"study first is not running; `raydd resume first --home {tmp_path}` runs it",
    ]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"lambda_c": 0.1}, "--hp: unknown hyperparameter of iid 'lambda_c': did you mean 'lambda_cm'?"),
        ({"lambda_cc": -1.0}, "--hp: lambda_cc: should be greater than or equal to 0, got -1.0"),
        ({"batch_real": 16}, "--hp: batch_real is 8 in all trials of this study, got 16"),
        ({"lr_img": 2.0}, "--hp: trial 1 of study 'first' has these values already (complete)"),
        ({}, "--hp: trial 0 of study 'first' has these values already (complete)"),
        ({"lr_img": 7.0}, "--hp: these values wait already to be run in study 'first'"),
    ],
)
def test_a_point_that_cannot_be_run_or_was_run_is_refused(
    tmp_path: Path, given: dict[str, Any], sentence: str
) -> None:
    study = ended(study_in(tmp_path), 0.5, 0.4, 0.3)
    add_point(study, {"lr_img": 7.0})
    with pytest.raises((ConfigError, StudyError)) as caught:
        add_point(study, given)
    assert sentence in str(caught.value)
    assert len(study.extensions()) == 1


def test_a_trial_whose_values_nobody_can_run_is_no_duplicate(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    trial_of(study, 0, math.nan, "failed", lambda_cc=-1.0)
    assert add_point(study, {"lambda_cc": 0.2}).number == 2  # trial 0's default is still to be run


def test_of_two_who_add_at_once_each_gets_a_trial(tmp_path: Path) -> None:
    study = study_in(tmp_path)
    threads = [
        threading.Thread(target=add_point, args=(Study(study.folder), {"lr_img": rate}))
        for rate in (3.0, 4.0, 5.0)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert study.config.search.trials == 6
    assert sorted(point["lr_img"] for point in study.added_points()) == [3.0, 4.0, 5.0]


def test_a_driver_that_searches_runs_the_point_and_one_that_confirms_does_not(tmp_path: Path) -> None:
    study = ended(study_in(tmp_path), 0.5, 0.4)
    study.lock()
    searching = add_point(Study(study.folder), {"lr_img": 7.0})
    assert (searching.searching, searching.confirming) == (True, False)
    assert len(searching.lines(study)) == 1
    trial_of(study, 2, 0.3, lr_img=7.0)
    trial_of(study, 3, 0.3, lr_img=8.0)
    confirming = add_point(Study(study.folder), {"lr_img": 9.0})
    assert (confirming.searching, confirming.confirming) == (False, True)
    assert "has ended the search already; `raydd resume first" in confirming.lines(study)[1]
    study.unlock()
