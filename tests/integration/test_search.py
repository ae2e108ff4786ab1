import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from sklearn.datasets import load_digits

from raydd import DistilledSet, files, registry
from raydd import config as configuration
from raydd.cli import main
from raydd.tuning import Study
from raydd.tuning.searcher import open_optuna

pytestmark = pytest.mark.integration


def runs_of(study):
    from mlflow.tracking import MlflowClient

    links = study.links()
    client = MlflowClient(links["uri"])
    parent = client.get_run(links["run_id"])
    children = client.search_runs(
        [links["experiment_id"]], f"tags.mlflow.parentRunId = '{links['run_id']}'", max_results=1000
    )
    return client, parent, sorted(children, key=lambda child: int(child.data.tags["raydd.trial"]))


def pixels(study, number):
    return DistilledSet.load(study.trial_folder(number) / "distilled.safetensors").pixels


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
        rows = files.read_jsonl(study.trial_folder(number) / "history.jsonl")
        assert [row["iteration"] for row in rows if row["evaluated"]] == [0, 1, 2, 6]
        assert [row["rung"] for row in rows if row["evaluated"]] == [0, 111, 333, 1000]
        assert [row["iteration"] for row in rows] == list(range(7))


def test_optuna_knows_every_trial_with_its_last_value(finished):
    study, _ = finished
    known = open_optuna(study.journal, study.name).trials
    assert [trial.state for trial in known] == [optuna.trial.TrialState.COMPLETE] * 4
    assert [trial.value for trial in known] == [trial.val_accuracy for trial in study.trials()]
    assert set(known[0].intermediate_values) == {0, 1, 2, 6}


def test_mlflow_holds_one_parent_with_one_child_a_trial_all_finished(finished):
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


def write_digits(folder, shuffle_test):
    """Digits as images, a class a folder; with `shuffle_test` the test labels are permuted."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))[:600]
    for position, index in enumerate(order):
        split = "test" if position < 100 else "val" if position < 200 else "train"
        label = data.target[index]
        if shuffle_test and split == "test":
            label = (label + 3) % 10
        path = folder / split / str(label) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((data.images[index] * 255 / 16).astype(np.uint8)).save(path)


def test_shuffled_test_labels_change_no_figure_before_the_report(tmp_path, small, run):
    studies = []
    for shuffle in (False, True):
        folder = tmp_path / ("shuffled" if shuffle else "true")
        write_digits(folder, shuffle)
        changes = {"search__trials": 3, "data__name": str(folder), "confirm__baselines": ["random"]}
        config = small(tmp_path / f"home-{shuffle}", "s", **changes)
        studies.append(run(config))
    (one, first), (other, second) = studies
    for number in range(3):
        assert one.trial(number).values == other.trial(number).values
        rows = [files.read_jsonl(study.trial_folder(number) / "history.jsonl") for study in (one, other)]
        keys = ("iteration", "val_accuracy", "val_accuracy_std", "loss/total")
        first_rows, second_rows = [[[row.get(key) for key in keys] for row in part] for part in rows]
        assert first_rows == second_rows
        assert torch.equal(pixels(one, number), pixels(other, number))
    winners = [files.read_json(study.folder / "confirm" / "winner.json") for study in (one, other)]
    assert winners[0] == winners[1]
    assert first.report["arms"][0]["runs"] != second.report["arms"][0]["runs"]


def command(*arguments):
    return [sys.executable, "-m", "raydd", *arguments]


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def cut(arguments, reached, kind, log):
    """Start a driver, send it a signal once `reached()`; its exit code."""
    with log.open("w") as file:
        process = subprocess.Popen(command(*arguments), stdout=file, stderr=file)
        wait_for(lambda: process.poll() is not None or reached())
        os.kill(process.pid, kind)
        return process.wait(timeout=120)


def test_an_interrupted_study_closes_its_runs_and_resumes_to_the_same_images(tmp_path, small, run):
    changes = {"iterations": 60, "search__trials": 3, "search__scheduler": "none"}
    changes["confirm__baselines"] = ["random"]
    whole, _ = run(small(tmp_path / "whole", "cut", **changes))
    config = small(tmp_path / "cut", "cut", **changes)
    path, log = tmp_path / "study.yaml", tmp_path / "log"
    path.write_text(configuration.dump_yaml(config))
    study = Study(config.folder)

    def reports(count):
        return lambda: len(files.read_jsonl(study.trial_folder(1) / "history.jsonl")) >= count

    assert cut(["search", str(path)], reports(4), signal.SIGTERM, log) == 75, log.read_text()
    assert "raydd resume cut --home" in log.read_text()
    outcomes = [trial.outcome for trial in study.trials()]
    assert outcomes[0] == "complete"
    assert "interrupted" in outcomes
    _, parent, children = runs_of(study)
    assert parent.info.status == "KILLED"
    assert {child.info.status for child in children} <= {"FINISHED", "KILLED"}

    resume = ["resume", "cut", "--home", config.home]
    assert cut(resume, reports(9), signal.SIGINT, log) == 130, log.read_text()
    refused = subprocess.run(command("confirm", *resume[1:]), capture_output=True, text=True, timeout=300)
    assert refused.returncode == 2
    assert "of 3 trials unfinished; `raydd resume cut` first" in refused.stderr
    winner = study.folder / "confirm" / "winner.json"
    assert cut(resume, winner.exists, signal.SIGTERM, log) == 75, log.read_text()
    resumed = subprocess.run(command(*resume), capture_output=True, text=True, timeout=300)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert [trial.outcome for trial in study.trials()] == ["complete"] * 3
    for number in range(3):
        assert torch.equal(pixels(study, number), pixels(whole, number))
        assert study.trial(number).val_accuracy == whole.trial(number).val_accuracy
    assert files.read_jsonl(study.trial_folder(1) / "history.jsonl")[-1]["attempt"] == 3
    client, parent, children = runs_of(study)
    assert parent.info.status == "FINISHED"
    assert [child.info.run_name for child in children] == ["0", "1", "2"]
    for child in children:
        steps = [metric.step for metric in client.get_metric_history(child.info.run_id, "loss/total")]
        assert steps == list(range(3, 61, 3))


def test_two_drivers_on_one_study_are_refused(finished):
    study, _ = finished
    study.lock()
    try:
        result = subprocess.run(
            command("resume", "first", "--home", str(study.home)), capture_output=True, text=True, timeout=120
        )
    finally:
        study.unlock()
    assert result.returncode == 2
    assert "in use by another process" in result.stderr


TINY = {
    "search.concurrency": 1,
    "confirm.top": 1,
    "confirm.rerank_seeds": 1,
    "confirm.report_seeds": 2,
    "confirm.max_report_seeds": 2,
    "confirm.repeats": 1,
    "confirm.baseline_epochs": 1,
}
TINY_SEARCH = (
    "--data digits --ipc 2 --iterations 4 --trials 2 --net convnet-w8 --eval-epochs 6 --eval-repeats 1"
)
SHORT = {"net": "convnet-w8", "batch_real": 8, "batch_train": 8, "factor": 2}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """`searched(method, **fix)`: a tiny study on digits by `raydd search`, its report and its MLflow runs."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}

    def search(method, baselines="[random, herding]", **fix):
        home = tmp_path_factory.mktemp(method)
        tiny = {**TINY, "confirm.baselines": baselines}
        settings = [word for name, value in tiny.items() for word in ("--set", f"{name}={value}")]
        known = registry.get(method).hyperparameters.model_fields
        own = {name: value for name, value in SHORT.items() if name in known}
        fixed = [word for name, value in {**own, **fix}.items() for word in ("--fix", f"{name}={value}")]
        line = ["search", method, *TINY_SEARCH.split(), "--home", str(home), *fixed, *settings]
        result = subprocess.run(command(*line), capture_output=True, text=True, timeout=300, env=environment)
        assert result.returncode == 0, result.stdout + result.stderr
        study = Study(home / "studies" / f"{method}-digits-ipc2")
        return study, files.read_json(study.folder / "confirm" / "report.json"), runs_of(study)

    return search


def check_complete(study, runs):
    _, parent, children = runs
    assert [trial.outcome for trial in study.trials()] == ["complete"] * 2
    states = [trial.state.name for trial in open_optuna(study.journal, study.name).trials]
    assert states == ["COMPLETE"] * 2
    assert {parent.info.status, *(child.info.status for child in children)} == {"FINISHED"}
    for child, trial in zip(children, study.trials(), strict=True):
        assert child.data.metrics["val_accuracy"] == pytest.approx(trial.val_accuracy)


def evaluated(study):
    """What `raydd evaluate` says of the study's set, after one epoch."""
    path = study.folder / "distilled.safetensors"
    result = CliRunner().invoke(main, ["evaluate", str(path), "--epochs", "1", "--repeats", "1", "--json"])
    assert result.exit_code == 0, result.output
    (figures,) = json.loads(result.stdout)
    assert 0.0 <= figures["mean"] <= 1.0
    return figures


def test_udd_is_searched_measured_and_compared_at_equal_steps(searched):
    fix = {"inner_loop": 2, "n_data": 16, "regions": 1, "region_source": "sub_image", "research_every": 1}
    study, report, runs = searched("udd", proxy_net="convnet-w8", proxy_epochs=1, **fix)
    check_complete(study, runs)
    client, parent, children = runs
    for child in children:
        for name in ("mue", "region_switch_rate", "border_share"):
            assert 0.0 <= child.data.metrics[name] <= 1.0
        drawn = {item.path for item in client.list_artifacts(child.info.run_id, "pictures")}
        assert drawn == {"pictures/regions.png"}
    for number in range(2):
        distilled = DistilledSet.load(study.trial_folder(number) / "distilled.safetensors")
        assert distilled.boxes.shape == (20, 4, 3)
        assert distilled.images().shape == (10 * 2 * (4 + 4), 1, 8, 8)

    arms = {arm["name"]: arm for arm in report["arms"]}
    assert set(arms) - {"default"} == {"winner", "base", "random", "herding"}
    assert arms["base"]["method"] == "idc"
    base = DistilledSet.load(study.folder / "confirm" / "base" / "report-0" / "distilled.safetensors")
    assert base.boxes is None
    assert base.images().shape == (80, 1, 8, 8)
    # 160, 80 and 20 images are three, two and one batch an epoch; six epochs of the winner are 18 steps
    assert report["compared_steps"] == 18
    lengths = {name: arm["optimisation_steps"] for name, arm in arms.items() if name != "default"}
    assert lengths == {"winner": 18, "base": 12, "random": 6, "herding": 6}
    equal = {name: arm["equal_steps"] for name, arm in arms.items() if arm["equal_steps"]}
    assert {name: one["epochs"] for name, one in equal.items()} == {"base": 9, "random": 18, "herding": 18}
    assert {one["optimisation_steps"] for one in equal.values()} == {18}
    difference = next(one for one in report["differences"] if one["b"] == "base")
    assert difference["mean"] == pytest.approx(arms["winner"]["mean"] - equal["base"]["mean"])
    assert parent.data.metrics["base/equal_steps_test_accuracy"] == pytest.approx(equal["base"]["mean"])
    assert study.test_readings() == report["test_readings"] == 2 * (len(arms) - 3) + 2 * 2 * 3

    figures = evaluated(study)
    assert (figures["protocol"], figures["epochs"], figures["optimisation_steps"]) == ("idc", 1, 3)


def test_iid_on_idm_is_searched_and_compared_with_idm(searched):
    fix = {"pool_net": "convnet-w8", "pool_size": 1, "pool_epochs": 1, "net_num": 3, "model_train_steps": 2}
    study, report, runs = searched("iid", base="idm", **fix)
    check_complete(study, runs)
    assert {trial.values["base"] for trial in study.trials()} <= {"idm"}
    trial = DistilledSet.load(study.trial_folder(1) / "distilled.safetensors")
    assert (trial.manifest["method"], trial.manifest["hyperparameters"]["base"]) == ("iid", "idm")
    assert trial.images().shape == (80, 1, 8, 8)

    arms = {arm["name"]: arm for arm in report["arms"]}
    assert set(arms) - {"default"} == {"winner", "base", "random", "herding"}
    assert (arms["base"]["method"], arms["base"]["hyperparameters"]["factor"]) == ("idm", 2)
    base = DistilledSet.load(study.folder / "confirm" / "base" / "report-0" / "distilled.safetensors")
    assert base.manifest["method"] == "idm"
    # the fixed values that IDM has are its own too
    assert {name: base.manifest["hyperparameters"][name] for name in SHORT} == SHORT
    assert base.manifest["hyperparameters"]["net_num"] == 3
    # 80 images or 20 are one batch, so that nothing is judged twice
    assert {arm["optimisation_steps"] for arm in arms.values()} == {report["compared_steps"]} == {7}
    assert [arm["equal_steps"] for arm in arms.values()] == [None] * len(arms)
    assert study.test_readings() == report["test_readings"] == 2 * len(arms)

    figures = evaluated(study)
    assert (figures["protocol"], figures["optimisation_steps"]) == ("dsa", 2)


def test_dwa_is_searched_under_one_teacher_and_judged_with_hard_labels_too(searched, tmp_path):
    teacher = {"teacher": "convnet-d1-w8-bn", "teacher_epochs": 2}
    study, report, runs = searched("dwa", baselines="[random, herding, full]", **teacher)
    check_complete(study, runs)
    _, parent, children = runs
    assert {run.data.tags["raydd.labels"] for run in (parent, *children)} == {"soft"}
    assert {run.data.tags["raydd.teacher_pretrained"] for run in (parent, *children)} == {"false"}
    for trial in study.trials():  # every image of a class is recovered after the one before it
        length = trial.values["recover_iterations"]
        assert (trial.iteration, trial.iterations) == (2 * length, 2 * length)
        assert (
            DistilledSet.load(study.trial_folder(trial.number) / "distilled.safetensors").label_kind
            == "online"
        )

    arms = {arm["name"]: arm for arm in report["arms"]}
    assert set(arms) - {"default"} == {"winner", "base", "random", "herding", "full"}
    assert arms["base"]["method"] == "sre2l"
    soft = {name: arm for name, arm in arms.items() if name != "full"}
    assert {arm["label_regime"] for arm in soft.values()} == {"soft"} == {report["label_regime"]}
    assert len({arm["teacher"]["sha256"] for arm in soft.values()}) == 1
    assert len(list(study.assets.glob("teacher-*"))) == 1
    assert {arm["label_kind"] for arm in soft.values()} == {"online"}
    assert {name for name, arm in soft.items() if arm["hard"] is None} == {"herding"}
    winner = arms["winner"]
    assert winner["hlr"]["mean"] == pytest.approx(arms["full"]["mean"] - winner["hard"]["mean"])
    difference = next(one for one in report["differences"] if (one["a"], one["b"]) == ("winner", "random"))
    assert winner["ior"]["mean"] == pytest.approx(difference["mean"])
    assert not [one for one in report["differences"] if "full" in (one["a"], one["b"])]
    # two seeds, with both labels for all but herding; full data are one reading
    assert study.test_readings() == report["test_readings"] == 2 * 2 * (len(soft) - 1) + 2 + 1
    assert parent.data.metrics["confirmed/hard_test_accuracy"] == pytest.approx(winner["hard"]["mean"])
    assert parent.data.metrics["random/test_accuracy"] == pytest.approx(arms["random"]["mean"])

    shown = CliRunner().invoke(main, ["show", "dwa-digits-ipc2", "--home", str(study.home)])
    assert "Hard labels: the same pixels, by the same protocol" in shown.stdout
    assert "Teacher: convnet-d1-w8-bn, trained 2 epochs on the training images" in shown.stdout

    away = tmp_path / "away.safetensors"  # where no assets lie above it
    away.write_bytes((study.folder / "distilled.safetensors").read_bytes())
    assert DistilledSet.load(away).teacher.facts == {
        name: value for name, value in winner["teacher"].items() if name != "test_accuracy"
    }
    figures = evaluated(study)
    assert (figures["protocol"], figures["label_regime"], figures["epochs"]) == ("sre2l-cifar", "soft", 1)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """`search(home, *arguments)` with a throw-away method that is installed as a distribution of its own."""
    folder = tmp_path_factory.mktemp("plugin")
    distribution = folder / "throwaway-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: throwaway\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text("[raydd.methods]\nthrowaway = throwaway:METHOD\n")
    (folder / "throwaway.py").write_text((Path(__file__).parent / "throwaway_plugin.txt").read_text())
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    settings = {
        "data.name": "digits",
        "confirm.top": 1,
        "confirm.rerank_seeds": 1,
        "confirm.report_seeds": 2,
        "confirm.max_report_seeds": 2,
        "confirm.baselines": "[random]",
        "evaluation.net": "convnet-w8",
        "search.concurrency": 1,
    }
    flags = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]

    def search(home, *arguments):
        line = command("search", "throwaway", "--name", "plug", "--home", str(home), *flags, *arguments)
        result = subprocess.run(line, capture_output=True, text=True, timeout=300, env=environment)
        assert result.returncode == 0, result.stdout + result.stderr
        return Study(home / "studies" / "plug")

    return search


def test_a_plug_in_is_searched_and_its_broken_trials_do_not_end_the_study(plugin, tmp_path):
    study = plugin(tmp_path, "--ipc", "1", "--trials", "8", "--eval-epochs", "2", "--fix", "spoil=0")
    trials = study.trials()
    outcome = {"calm": "complete", "broken": "failed", "infinite": "diverged"}
    assert [trial.outcome for trial in trials] == [outcome[trial.hyperparameters["mood"]] for trial in trials]
    assert {trial.outcome for trial in trials} == set(outcome.values())
    assert {trial.why.split(": ")[-1] for trial in trials} == {
        "",
        "the throw-away method is broken",
        "the throw-away method is infinite",
    }
    _, parent, children = runs_of(study)
    assert parent.info.status == "FINISHED"
    status = {"complete": "FINISHED", "failed": "FAILED", "diverged": "FAILED"}
    assert [child.info.status for child in children] == [status[trial.outcome] for trial in trials]
    state = {"complete": "COMPLETE", "failed": "FAIL", "diverged": "FAIL"}
    known = open_optuna(study.journal, study.name).trials
    assert [trial.state.name for trial in known] == [state[trial.outcome] for trial in trials]


def test_hopeless_trials_are_pruned_on_a_rung_and_told_so(plugin, tmp_path):
    arguments = [
        "--ipc",
        "4",
        "--trials",
        "18",
        "--iterations",
        "9",
        "--eval-epochs",
        "20",
        "--fix",
        "mood=calm",
    ]
    study = plugin(tmp_path, *arguments, "--sampler", "random")
    trials = study.trials()
    pruned = [trial for trial in trials if trial.outcome == "pruned"]
    assert trials[0].outcome == "complete"
    assert {trial.outcome for trial in trials} == {"complete", "pruned"}
    assert len(pruned) >= 2
    complete = [trial for trial in trials[1:] if trial.outcome == "complete"]
    mean = {
        name: sum(t.hyperparameters["spoil"] for t in group) / len(group)
        for name, group in (("pruned", pruned), ("complete", complete))
    }
    assert mean["pruned"] > mean["complete"]
    known = open_optuna(study.journal, study.name).trials
    _, _, children = runs_of(study)
    for trial in pruned:
        assert trial.iteration in (1, 3)
        assert known[trial.number].state == optuna.trial.TrialState.PRUNED
        assert known[trial.number].intermediate_values[trial.iteration] == trial.val_accuracy
        assert children[trial.number].info.status == "KILLED"
        assert children[trial.number].data.tags["raydd.outcome"] == "pruned"
