"""A study that is done is asked for more: its numbers stay, the winner is chosen anew, a trial can be reproduced."""

import subprocess

import pytest

from raydd import files
from raydd.tuning.extending import again
from raydd.tuning.searcher import open_optuna

pytestmark = [pytest.mark.integration, pytest.mark.slow]  # minutes on two cores


def test_a_study_is_extended_by_trials_and_a_point_and_confirmed_anew(tmp_path, small, run, runs_of, command):
    def raydd(*arguments):
        line = command(*arguments, "--home", str(tmp_path))
        return subprocess.run(line, capture_output=True, text=True, timeout=300)

    study, first = run(
        small(tmp_path, "first", search__trials=3, confirm__top=5, confirm__baselines=["random"])
    )
    assert first.exit_code == 0
    confirm = study.folder / "confirm"
    before = [(trial.values, study.history(trial.number)) for trial in study.trials()]
    winner, report = files.read_json(confirm / "winner.json"), study.report()
    readings = study.test_readings()
    units = {path: path.stat().st_mtime_ns for path in confirm.glob("*/rerank-*/result.json")}
    assert winner["candidates"] == [0, 1, 2]
    assert len(units) == 4  # and the base

    done = raydd("resume", "first")
    assert done.returncode == 0, done.stderr
    assert "study first is done: all 3 trials have ended and are confirmed" in done.stdout
    assert len(list((study.folder / "sessions").glob("*.json"))) == 1  # nobody searched again

    added = raydd("add", "first", "--hp", "lambda_cc=0.2")
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("trial 3 will run next: cc_form=sum lambda_cc=0.2 ")
    assert again(study) in added.stdout
    resumed = raydd("resume", "first", "--trials", "+1")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert f"it is kept in {confirm / 'history' / '1'}" in resumed.stdout
    assert f"test data were read {readings} times so far" in resumed.stdout

    assert [row["changed"] for row in study.extensions()] == [{"search.trials": 4}, {"search.trials": 5}]
    trials = study.trials()
    assert [trial.outcome for trial in trials] == ["complete"] * 5
    assert (trials[3].source, trials[3].values["lambda_cc"]) == ("added", 0.2)
    assert [(trial.values, study.history(trial.number)) for trial in trials[:3]] == before
    known = open_optuna(study.journal, study.name).trials
    assert [trial.value for trial in known] == [trial.val_accuracy for trial in trials]

    again_frozen = files.read_json(confirm / "winner.json")
    assert again_frozen["candidates"] == [0, 1, 2, 3, 4]
    assert len(again_frozen["rows"]) == 6
    assert again_frozen["rows"][0]["mean"] == max(row["mean"] for row in again_frozen["rows"])
    runs = {row["short"]: row["runs"] for row in winner["rows"]}
    assert {row["short"]: row["runs"] for row in again_frozen["rows"] if row["short"] in runs} == runs
    assert {path: path.stat().st_mtime_ns for path in units} == units  # none was distilled again
    assert files.read_json(confirm / "history" / "1" / "winner.json") == winner
    assert files.read_json(confirm / "history" / "1" / "report.json") == report
    assert study.report()["winner"]["trial"] == again_frozen["winner"]
    assert study.test_readings() >= readings
    assert study.report()["test_readings"] == study.test_readings()
    _, parent, children = runs_of(study)
    assert parent.info.status == "FINISHED"
    assert [child.info.run_name for child in children] == ["0", "1", "2", "3", "4"]
    assert parent.data.tags["raydd.winner"] == str(again_frozen["winner"])

    for trial in (0, 3):
        rerun = raydd("rerun", f"first/{trial}")
        assert rerun.returncode == 0, rerun.stdout + rerun.stderr
        assert rerun.stdout.splitlines()[-1] == "bit-equal: 4 evaluations and the images"
