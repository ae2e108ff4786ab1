"""Every method, and a plug-in, searched end to end by `raydd search` on digits."""

import json
import os
import subprocess
from pathlib import Path

import optuna
import pytest
from click.testing import CliRunner

from raydd import DistilledSet, files, registry
from raydd.cli import main
from raydd.tuning import Study
from raydd.tuning.searcher import open_optuna

pytestmark = pytest.mark.integration


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
def searched(tmp_path_factory, runs_of, command):
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
    assert {run.data.tags["raydd.label_kind"] for run in (parent, *children)} == {"online"}
    assert {run.data.tags["raydd.teacher"] for run in (parent, *children)} == {"convnet-d1-w8-bn"}
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
def plugin(tmp_path_factory, command):
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

    def search(home, *arguments, code=0, said=()):
        line = command("search", "throwaway", "--name", "plug", "--home", str(home), *flags, *arguments)
        result = subprocess.run(line, capture_output=True, text=True, timeout=900, env=environment)
        assert result.returncode == code, result.stdout + result.stderr
        for sentence in said:
            assert (result.stdout + result.stderr).count(sentence) == 1, result.stdout + result.stderr
        return Study(home / "studies" / "plug")

    return search


def test_a_plug_in_is_searched_and_its_broken_trials_do_not_end_the_study(plugin, tmp_path, runs_of):
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


@pytest.mark.slow  # a process for every attempt
def test_a_study_whose_trials_all_run_out_of_memory_stops_and_says_so_once(plugin, tmp_path, runs_of):
    said = ["all 3 trials failed for the same reason: RuntimeError: "]
    arguments = ["--ipc", "1", "--trials", "8", "--eval-epochs", "2", "--fix", "mood=hungry"]
    study = plugin(tmp_path, *arguments, code=1, said=said)
    assert [trial.outcome for trial in study.trials()] == ["failed"] * 3  # of 8
    for trial in study.trials():
        failures = study.trial_files(trial.number).failures()
        assert [failure["kind"] for failure in failures] == [
            "memory"
        ] * 2  # tried again once, in a fresh process
        assert "allocate memory" in trial.why
    _, parent, children = runs_of(study)
    assert [parent.info.status, *(child.info.status for child in children)] == ["FAILED"] * 4


def test_hopeless_trials_are_pruned_on_a_rung_and_told_so(plugin, tmp_path, runs_of):
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
