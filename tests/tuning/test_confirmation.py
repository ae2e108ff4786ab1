import pytest

import raydd
from raydd import config as configuration
from raydd import files, registry
from raydd.tuning import confirmation
from raydd.tuning.plan import plan_for
from raydd.tuning.studies import Study

NET = "convnet-w8"


@pytest.fixture(scope="module")
def plan():
    values = {
        "method": "iid",
        "iterations": 4,
        "evaluation": {"net": NET},
        "home": "/nowhere",
        "name": "first",
    }
    return plan_for(configuration.build(values), registry.get("iid"), raydd.load_data("digits"))


def study_with(tmp_path, outcomes):
    study = Study(tmp_path / "studies" / "first")
    for number, (outcome, accuracy) in enumerate(outcomes):
        folder = study.trial_folder(number)
        drawn = {"number": number, "source": "model", "searched": {"lr_img": 1.0}, "values": {"lr_img": 1.0}}
        files.write_json(folder / "hyperparameters.json", {**drawn, "iterations": 4, "seed": 0})
        row = {"iteration": 4, "evaluated": 1, "val_accuracy": accuracy, "val_accuracy_std": 0.0}
        files.append_jsonl(folder / "history.jsonl", {**row, "attempt": 1, "seconds": 1.0})
        study.write_end(number, outcome, "")
    return study


def results(means, diverged=""):
    evaluation = {
        "protocol": "dsa",
        "epochs": 4,
        "optimisation_steps": 5,
        "label_regime": "hard",
        "net_sd": 0.01,
    }
    return [
        {"nets": {NET: {**evaluation, "mean": mean}}, "bytes": 10, "diverged": diverged} for mean in means
    ]


RANKING = {"winner": 1, "rows": [], "search_estimate": {"trial": 1, "val_accuracy": 0.9}}


def test_the_arms_are_winner_default_base_and_random(tmp_path, plan):
    study = study_with(tmp_path, [("complete", 0.5), ("complete", 0.6)])
    assert [arm.name for arm in confirmation.report_arms(study, plan, 1)] == [
        "winner",
        "default",
        "base",
        "random",
    ]
    assert [arm.name for arm in confirmation.report_arms(study, plan, 0)] == ["winner", "base", "random"]


def test_a_default_that_did_not_finish_is_no_arm(tmp_path, plan):
    study = study_with(tmp_path, [("diverged", 0.5), ("complete", 0.6)])
    assert [arm.name for arm in confirmation.report_arms(study, plan, 1)] == ["winner", "base", "random"]


def test_differences_are_paired_by_seed_and_corrected_together(tmp_path, plan):
    study = study_with(tmp_path, [("complete", 0.5), ("complete", 0.6)])
    arms = confirmation.report_arms(study, plan, 1)
    winner, default, base, random = (
        [0.60, 0.62, 0.64],
        [0.55, 0.57, 0.59],
        [0.61, 0.60, 0.65],
        [0.2, 0.5, 0.3],
    )
    means = {"1": winner, "0": default, "base": base, "random": random}
    report = confirmation.summarise(study, plan, arms, {key: results(m) for key, m in means.items()}, RANKING)
    pairs = {(one["a"], one["b"]): one for one in report["differences"]}
    assert list(pairs) == [
        ("winner", "default"),
        ("winner", "base"),
        ("winner", "random"),
        ("default", "random"),
        ("base", "random"),
    ]
    assert pairs["winner", "default"]["mean"] == pytest.approx(0.05)
    assert pairs["winner", "default"]["half_width"] == pytest.approx(0.0, abs=1e-12)
    assert pairs["winner", "default"]["resolved"]
    assert pairs["winner", "default"]["text"] == "winner - carried-over = +5.0 [+5.0, +5.0]"
    assert not pairs["winner", "base"]["resolved"]
    assert pairs["winner", "base"]["text"].startswith("winner - DM: not resolved")
    # t-interval by hand: differences 0.40, 0.12, 0.34; mean 0.28667, sd 0.14742, t(0.975, 2) = 4.30265
    assert pairs["winner", "random"]["mean"] == pytest.approx(0.286667, abs=1e-6)
    assert pairs["winner", "random"]["half_width"] == pytest.approx(4.30265 * 0.147422 / 3**0.5, abs=1e-4)
    assert pairs["winner", "random"]["adjusted_p"] >= pairs["winner", "random"]["p"]


def test_the_unit_of_replication_is_the_run(tmp_path, plan):
    study = study_with(tmp_path, [("complete", 0.5)])
    arms = confirmation.report_arms(study, plan, 0)
    means = {"0": [0.60, 0.62, 0.64], "base": [0.5, 0.5, 0.5], "random": [0.2, 0.2, 0.3]}
    report = confirmation.summarise(
        study, plan, arms, {key: results(m) for key, m in means.items()}, {**RANKING, "winner": 0}
    )
    row = report["arms"][0]
    assert (row["n"], row["mean"], row["sd"]) == (3, pytest.approx(0.62), pytest.approx(0.02))
    assert row["net_sd"] == pytest.approx(0.01)
    assert row["diverged"] == 0


def test_diverged_runs_are_counted_in_their_arm(tmp_path, plan):
    study = study_with(tmp_path, [("complete", 0.5)])
    arms = confirmation.report_arms(study, plan, 0)
    runs = {
        "0": [*results([0.6]), *results([0.1], "iteration 3: not finite")],
        "base": results([0.5, 0.5]),
        "random": results([0.2, 0.3]),
    }
    report = confirmation.summarise(study, plan, arms, runs, {**RANKING, "winner": 0})
    assert report["arms"][0]["diverged"] == 1


def test_report_seeds_are_fresh_paired_and_grow_at_the_end(plan):
    few, many = confirmation.report_seeds(plan.config, 3), confirmation.report_seeds(plan.config, 6)
    assert many[:3] == few
    assert len(set(many)) == 6
    assert plan.config.seed not in many


def test_finished_seeds_are_those_that_every_arm_has(tmp_path, plan):
    study = study_with(tmp_path, [("complete", 0.5)])
    arms = confirmation.report_arms(study, plan, 0)
    for arm, count in zip(arms, (3, 2, 4)):
        for index in range(count):
            files.write_json(confirmation.unit_folder(study, arm, "report", index) / "result.json", {})
    assert confirmation.finished_seeds(study, arms) == 2
