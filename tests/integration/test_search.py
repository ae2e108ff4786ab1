"""A study on a real Ray and a real MLflow store: its trials, its runs, its report; and that it can be repeated."""

import subprocess

import optuna
import pytest
import torch

from raydd import DistilledSet, files
from raydd.tuning.searcher import open_optuna

pytestmark = pytest.mark.integration


def test_a_study_ends_with_every_trial_complete_and_a_confirmed_winner(finished):
    study, result = finished
    assert result.exit_code == 0
    trials = study.trials()
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert {trial.outcome for trial in trials} == {"complete"}
    assert [trial.iteration for trial in trials] == [6] * 4
    assert all(0.0 <= trial.val_accuracy <= 1.0 for trial in trials)
    assert result.report["winner"]["trial"] in range(4)
    assert DistilledSet.load(study.folder / "distilled.safetensors").images().shape == (20, 1, 8, 8)
    assert (study.folder / "grid.png").exists()


def test_trial_0_is_the_published_setting_carried_over(finished):
    study, _ = finished
    first = study.trial(0)
    assert first.source == "default"
    assert first.hyperparameters["lambda_cc"] == 0.05
    assert first.hyperparameters["lambda_cm"] == 0.01
    assert first.hyperparameters["lr_img"] == 1.0


def test_evaluations_happen_at_the_start_on_the_rungs_and_at_the_end_only(finished):
    study, _ = finished
    for number in range(4):
        rows = study.history(number)
        assert [row["iteration"] for row in rows if row["evaluated"]] == [0, 1, 2, 6]
        assert [row["rung"] for row in rows if row["evaluated"]] == [0, 111, 333, 1000]
        assert [row["iteration"] for row in rows] == list(range(7))


def test_optuna_knows_every_trial_with_its_last_value(finished):
    study, _ = finished
    known = open_optuna(study.journal, study.name).trials
    assert [trial.state for trial in known] == [optuna.trial.TrialState.COMPLETE] * 4
    assert [trial.value for trial in known] == [trial.val_accuracy for trial in study.trials()]
    assert set(known[0].intermediate_values) == {0, 1, 2, 6}


def test_mlflow_holds_one_parent_with_one_child_a_trial_all_finished(finished, runs_of):
    study, result = finished
    client, parent, children = runs_of(study)
    assert parent.info.run_name == "first"
    assert parent.info.status == "FINISHED"
    assert [child.info.run_name for child in children] == ["0", "1", "2", "3"]
    assert {child.info.status for child in children} == {"FINISHED"}
    assert {child.data.tags["raydd.outcome"] for child in children} == {"complete"}
    winner = next(arm for arm in result.report["arms"] if arm["name"] == "winner")
    assert parent.data.metrics["confirmed/test_accuracy"] == pytest.approx(winner["mean"])
    for arm in result.report["arms"][-4:]:
        assert parent.data.metrics[f"{arm['name']}/test_accuracy"] == pytest.approx(arm["mean"])
    assert "herding/low" in parent.data.metrics
    assert "full/low" not in parent.data.metrics
    for child, trial in zip(children, study.trials()):
        assert child.data.metrics["val_accuracy"] == pytest.approx(trial.val_accuracy)
        assert set(child.data.params) == set(trial.hyperparameters)
        steps = [metric.step for metric in client.get_metric_history(child.info.run_id, "val_accuracy")]
        assert steps == [0, 1, 2, 6]
        names = {item.path for item in client.list_artifacts(child.info.run_id, "distilled")}
        assert names == {"distilled/grid.png", "distilled/distilled.safetensors"}


def test_the_default_store_is_one_sqlite_file_with_artifacts_under_the_home(finished):
    study, _ = finished
    assert (study.home / "mlflow.db").exists()
    assert any((study.home / "artifacts").rglob("grid.png"))


def test_test_data_were_read_once_for_every_arm_and_seed_and_only_in_the_report(finished):
    study, result = finished
    ledger = files.read_jsonl(study.folder / "test_ledger.jsonl")
    names = [arm["name"] for arm in result.report["arms"]]
    assert names[-4:] == ["random", "herding", "k_center", "full"]
    assert [name for name in names if name != "default"] == ["winner", "base", *names[-4:]]
    assert (
        len(ledger) == (len(names) - 1) * 2 + 1 == result.report["test_readings"]
    )  # full data are one network
    assert {row["stage"] for row in ledger} == {"report"}


def test_random_images_of_the_report_are_what_the_winner_started_from(finished):
    study, result = finished
    winner = study.folder / "confirm" / str(result.report["winner"]["trial"])
    for index in range(2):
        random = DistilledSet.load(
            study.folder / "confirm" / "random" / f"report-{index}" / "distilled.safetensors"
        )
        tuned = DistilledSet.load(winner / f"report-{index}" / "distilled.safetensors")
        assert random.manifest["seed"] == tuned.manifest["seed"]
        assert random.manifest["iteration"] == 0
        assert not torch.equal(random.pixels, tuned.pixels)
        assert (random.pixels - tuned.pixels).abs().mean() < 0.5


def test_coresets_are_one_choice_and_full_data_one_network(finished):
    study, result = finished
    confirm = study.folder / "confirm"
    chosen = [
        [
            (confirm / name / f"report-{index}" / "distilled.safetensors").read_bytes()
            for name in ("herding", "k_center")
        ]
        for index in range(2)
    ]
    assert chosen[0] == chosen[1]
    assert chosen[0][0] != chosen[0][1]
    assert [path.name for path in (confirm / "full").iterdir()] == ["report-0"]
    assert {one["b"] for one in result.report["differences"]} >= {"base", "random", "herding", "k_center"}
    assert "full" not in {one["b"] for one in result.report["differences"]}


def test_the_same_command_gives_the_same_trials_and_bit_equal_sets(finished, tmp_path, small, run):
    study, result = finished
    again, second = run(small(tmp_path, "first"))
    for one, other in zip(study.trials(), again.trials(), strict=True):
        assert one.values == other.values
        assert one.source == other.source
        assert one.val_accuracy == other.val_accuracy
        first_file = study.trial_folder(one.number) / "distilled.safetensors"
        assert (
            first_file.read_bytes() == (again.trial_folder(one.number) / "distilled.safetensors").read_bytes()
        )
    assert second.report["arms"] == result.report["arms"]
    assert second.report["differences"] == result.report["differences"]


def test_two_drivers_on_one_study_are_refused(finished, command):
    study, _ = finished
    study.lock()
    try:
        result = subprocess.run(
            command("resume", "first", "--home", str(study.home)), capture_output=True, text=True, timeout=120
        )
    finally:
        study.unlock()
    assert result.returncode == 2
    assert "study 'first' is in use by process " in result.stderr
