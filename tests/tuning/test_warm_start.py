"""What a new search takes over from earlier studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raydd import config as configuration
from raydd import files
from raydd.errors import ConfigError, StudyError
from raydd.tuning.plan import Plan, prepare
from raydd.tuning.studies import Study
from raydd.tuning.warm_start import warm_started

DEFAULT = {"lr_img": 1.0, "lambda_cm": 0.01, "lambda_cc": 0.05, "cc_form": "sum"}
FIX = {"net": "convnet-d1-w4", "pool_net": "convnet-d1-w4", "batch_real": 8}


def config(home: Path, name: str, **changed: Any) -> configuration.StudyConfig:
    values: dict[str, Any] = {
        "method": "iid",
        "name": name,
        "home": str(home),
        "iterations": 6,
        "search": {"trials": 8, "fix": FIX},
        "evaluation": {"net": "convnet-d1-w4"},
        "compile": "off",
    }
    for path, value in changed.items():
        configuration.set_path(values, path.replace("__", "."), value)
    return configuration.build(values)


def searched(home: Path, name: str, *trials: tuple[float, dict[str, Any]], **changed: Any) -> Study:
    """A study with complete trials, their accuracies and what differs from trial 0 in them."""
    study = Study.create(config(home, name, **changed), {})
    study.unlock()
    for number, (accuracy, values) in enumerate(trials):
        drawn = {
            "number": number,
            "source": "model",
            "searched": DEFAULT | values,
            "seed": 0,
            "iterations": 6,
        }
        path = study.trial_folder(number) / "hyperparameters.json"
        files.write_json(path, {**drawn, "values": DEFAULT | FIX | values})
        attempt = study.trial_files(number).claim()
        attempt.begin(None, {})
        row = {"iteration": 6, "evaluated": 1, "val_accuracy": accuracy, "val_accuracy_std": 0.0}
        attempt.report({**row, "attempt": 1, "seconds": 1.0})
        study.write_end(number, "complete", "")
    return study


def new(home: Path, **changed: Any) -> Plan:
    return prepare(config(home, "new", **changed))


def taken(plan: Plan) -> list[dict[str, Any]]:
    return [dict(point.values) for point in plan.points if point.source == "given"]


def warm_notes(plan: Plan) -> list[str]:
    return [note for note in plan.notes if note.startswith("warm start")]


def test_the_best_distinct_settings_up_to_a_quarter_come_first(tmp_path: Path) -> None:
    searched(
        tmp_path,
        "old",
        (0.9, {}),  # trial 0's own setting
        (0.5, {"lr_img": 2.0}),
        (0.8, {"lambda_cc": 0.2}),
        (0.8, {"lambda_cc": 0.2}),
        (0.7, {"lambda_cm": 0.3}),
    )
    plan = warm_started(new(tmp_path), ["old"])
    assert taken(plan) == [DEFAULT | {"lambda_cc": 0.2}, DEFAULT | {"lambda_cm": 0.3}]
    assert plan.config.search.points == taken(plan)
    assert warm_notes(plan)[0] == (
        "warm start: trial 2 of study old (80.0 % on its validation images): "
        "cc_form=sum lambda_cc=0.2 lambda_cm=0.01 lr_img=1"
    )
    assert len(taken(warm_started(new(tmp_path, search__trials=3), ["old"]))) == 1
    assert len(taken(warm_started(new(tmp_path, search__trials=40), ["old"]))) == 3


def test_several_studies_give_one_each_in_turn(tmp_path: Path) -> None:
    searched(tmp_path, "one", (0.9, {"lr_img": 2.0}), (0.8, {"lr_img": 3.0}))
    searched(tmp_path, "two", (0.2, {"lr_img": 4.0}), (0.1, {"lr_img": 5.0}))
    plan = warm_started(new(tmp_path, search__trials=12), ["one", "two"])
    assert [point["lr_img"] for point in taken(plan)] == [2.0, 4.0, 3.0]


def test_fixed_names_are_left_out_and_what_was_fixed_is_taken_where_it_is_searched_now(
    tmp_path: Path,
) -> None:
    searched(tmp_path, "old", (0.9, {"lambda_cc": 0.2, "lr_img": 3.0}), search__fix={**FIX, "lambda_cc": 0.2})
    fixing = warm_started(new(tmp_path, search__fix={**FIX, "lambda_cc": 0.7}), ["old"])
    assert taken(fixing) == [{"lr_img": 3.0, "lambda_cm": 0.01, "cc_form": "sum"}]
    assert taken(warm_started(new(tmp_path), ["old"])) == [DEFAULT | {"lambda_cc": 0.2, "lr_img": 3.0}]


def test_what_is_not_allowed_or_outside_the_range_is_left_out_with_a_note(tmp_path: Path) -> None:
    searched(tmp_path, "old", (0.9, {"lambda_cc": -1.0}), (0.8, {"lr_img": 50.0}), (0.7, {"lr_img": 2.0}))
    plan = warm_started(new(tmp_path, search__range={"lr_img": "0.5..5"}), ["old"])
    assert taken(plan) == [DEFAULT | {"lr_img": 2.0}]
    left_out = [note for note in warm_notes(plan) if note.endswith("it is left out")]
    assert left_out[0].startswith(
        "warm start: trial 0 of study old: lambda_cc: should be greater than or equal to 0"
    )
    assert left_out[1] == (
        "warm start: trial 1 of study old: lr_img=50 lies outside the narrowed range; it is left out"
    )


def test_own_points_stay_and_come_before(tmp_path: Path) -> None:
    searched(tmp_path, "old", (0.9, {"lr_img": 2.0}), (0.8, {"lr_img": 3.0}))
    plan = warm_started(new(tmp_path, search__points=[{"lr_img": 2.0}]), ["old"])
    assert [point["lr_img"] for point in taken(plan)] == [2.0, 3.0]


def test_nothing_new_is_said(tmp_path: Path) -> None:
    searched(tmp_path, "old", (0.9, {}))
    plan = warm_started(new(tmp_path), ["old"])
    assert taken(plan) == []
    assert warm_notes(plan) == ["warm start: there is nothing in old that would not be run anyway"]


def test_another_method_an_empty_study_and_an_unknown_one_are_refused(tmp_path: Path) -> None:
    searched(tmp_path, "other", (0.9, {}), method="dm", search__fix={"net": "convnet-d1-w4"})
    searched(tmp_path, "empty")
    plan = new(tmp_path)
    with pytest.raises(
        StudyError, match=r"--warm-start: study 'other' has searched 'dm', .* to 'iid'; name a study"
    ):
        warm_started(plan, ["other"])
    with pytest.raises(StudyError, match="'empty' has no complete trial to start from"):
        warm_started(plan, ["empty"])
    with pytest.raises(StudyError, match="unknown study 'odl'"):
        warm_started(plan, ["odl"])


def test_more_settings_than_trials_are_refused(tmp_path: Path) -> None:
    searched(tmp_path, "old", (0.9, {"lr_img": 2.0}))
    with pytest.raises(ConfigError, match="1 are asked for, and there are 2 settings to begin with"):
        warm_started(new(tmp_path, search__trials=1), ["old"])


def test_a_study_that_was_judged_on_what_is_test_now_is_warned_of(tmp_path: Path) -> None:
    searched(tmp_path, "old", (0.9, {"lr_img": 2.0}))
    assert "warning" not in " ".join(warm_started(new(tmp_path), ["old"]).notes)
    plan = warm_started(new(tmp_path, data__split_seed=1), ["old"])
    assert "warning: study old set other test images aside" in " ".join(plan.notes)
