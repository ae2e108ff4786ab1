import os

import pytest

from raydd import files
from raydd.storage.stop_sign import StopSign
from raydd.tuning.parent import tracking_uri
from raydd.tuning.tracking import Tracker


def test_a_running_study_tells_who_runs_it_and_which_trials_are_where(home):
    study = home.study(running=True, resources__gpus_per_trial=0.5)
    home.session(study)
    home.trial(study, [0.1, 0.4], "complete")
    home.trial(study, [0.1, 0.2, 0.3])
    told = home.told("status", "first")
    assert (told["running"], told["state"], told["stage"], told["asked"]) == (True, "running", "search", 4)
    assert told["holder"].startswith(f"process {os.getpid()} on ")
    assert told["outcomes"] == {"complete": 1, "running": 1}
    (trial,) = told["underway"]
    assert (trial["number"], trial["iteration"], trial["iterations"]) == (1, 2, 10)
    assert (trial["val_accuracy"], trial["host"], trial["pid"]) == (0.3, "node-7", 4711)
    assert (told["best"], told["best_accuracy"]) == (0, 0.4)
    spent = {part["what"]: part["used"] for part in told["spent"]}
    assert spent == {"hours": 0.5, "GPU-hours": 0.5 * (720 + 1080) / 3600, "patience": 0}
    said = home.said("status", "first")
    assert "trial 1: 2/10, val 30.0 %, on node-7 (process 4711)\n" in said
    assert (
        f"next: raydd logs first --home {home.folder}   or   raydd stop first --home {home.folder}\n" in said
    )


def test_trials_of_an_earlier_session_are_interrupted_until_they_are_begun_again(home):
    study = home.study(running=True)
    home.session(study, 1)
    home.trial(study, [0.1])
    home.session(study, 2)
    assert home.told("status", "first")["outcomes"] == {"interrupted": 1}
    home.attempt(study, 0, [0.2], session=2, origin=(1, 0), first=1)
    told = home.told("status", "first")
    assert told["outcomes"] == {"running": 1}
    assert told["underway"][0]["attempt"] == 2
    study.unlock()
    assert home.told("status", "first")["outcomes"] == {"interrupted": 1}


def test_failures_are_told_once_a_reason_with_their_count(home):
    study = home.study(search__trials=9)
    for number in range(3):
        home.trial(
            study, [0.1], "failed", f"KeyError: {number}", "error", failed=("error", f"KeyError: {number}")
        )
    number = home.trial(study, [0.1], failed=("lost", "its worker process or its node died"))
    home.attempt(study, number, [0.2], origin=(1, 0), first=1)
    home.trial(study, [0.1], "diverged", "loss is NaN in iteration 7")
    first, second, third = home.told("status", "first")["reasons"]
    assert first == {
        "kind": "error", "why": "KeyError: 2", "attempts": 3, "trials": [0, 1, 2], "given_up": [0, 1, 2]
    }  # fmt: skip
    assert (second["kind"], second["attempts"], second["given_up"]) == ("lost", 1, [])
    assert (third["kind"], third["given_up"]) == ("diverged", [4])
    said = home.said("status", "first")
    assert "error: KeyError: 2 (3 attempts of trials 0, 1, 2; 3 ended by it)\n" in said
    assert "lost: its worker process or its node died (1 attempt of trial 3; all went on)\n" in said


def next_of(home, name="first"):
    return [command.partition(" --home")[0] for command in home.told("status", name)["next"]]


def test_the_next_command(home):
    study = home.study(search__trials=2)
    home.trial(study, [0.5], "complete")
    assert next_of(home) == ["raydd resume first"]
    home.trial(study, [0.6], "complete")
    assert home.told("status", "first")["stage"] == "re-rank"
    assert next_of(home) == ["raydd confirm first"]
    home.report(study, 0.58, winner=1)
    told = home.told("status", "first")
    assert (told["stage"], told["confirmed"]) == ("done", 0.58)
    assert next_of(home) == ["raydd show first"]
    home.trial(home.study("lost", search__trials=1), [0.1], "failed", "no luck", "error")
    assert next_of(home, "lost") == ["raydd logs lost"]


def test_a_spent_budget_is_told_with_the_flag_that_raises_it(home):
    study = home.study(budget__hours=0.25, budget__patience=5)
    home.session(study)
    told = home.told("status", "first")
    assert told["notices"] == ["the budget of 0.25 hours is spent"]
    assert told["next"] == [f"raydd resume first --home {home.folder} --hours +H"]
    said = home.said("status", "first")
    assert "30 min 00 s of search (limit 0.25 hours)" in said
    assert "0 trials in a row without a new best (limit 5)" in said


def test_assets_come_first_and_a_stop_that_was_asked_for_is_told(home):
    study = home.study(running=True, measured=False)
    StopSign(study.folder).put("now", "enough")
    told = home.told("status", "first")
    assert (told["stage"], told["notices"]) == ("assets", ["asked to stop: enough"])


def test_an_unknown_study_and_an_escaping_name_are_refused(home):
    home.study()
    for name in ("frist", "../first", "first/0"):
        assert f"unknown study {name!r}" in home.refused("status", name)


# -- --repair: a real store ----------------------------------------------------------------------------------


def open_runs(study, *numbers):
    """Runs as a driver that is killed leaves them."""
    uri = tracking_uri(study.config)
    tracker = Tracker(uri, "dm-digits-ipc2", artifact_root=study.home / "artifacts")
    tags = {"raydd.study_id": f"id-of-{study.name}"}
    tracker.open_study(study.name, params={}, tags=tags, description="", dataset={})
    for number in numbers:
        tracker.open_trial(number, params={}, tags={"raydd.trial": str(number)})
    assert tracker.flush(60)
    return uri


def runs(uri):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name("dm-digits-ipc2").experiment_id])
    return {
        (run.data.tags["raydd.study"], run.info.run_name): (
            run.info.status,
            run.data.tags.get("raydd.outcome"),
        )
        for run in found
    }


@pytest.mark.integration
def test_repair_closes_what_a_killed_driver_left_open_and_nothing_of_others(home):
    study, other = home.study(), home.study("other")
    home.trial(study, [0.1, 0.5], "complete")
    home.trial(study, [0.1])
    uri = open_runs(study, 0, 1)
    open_runs(other, 0)
    before = runs(uri)
    assert {status for status, _ in before.values()} == {"RUNNING"}
    assert home.told("status", "first", "--repair")["repaired"] == ["first", "0", "1"]
    after = runs(uri)
    assert after["first", "first"] == ("KILLED", None)
    assert after["first", "0"] == ("FINISHED", "complete")
    assert after["first", "1"] == ("KILLED", "interrupted")
    assert {key: value for key, value in after.items() if key[0] == "other"} == {
        ("other", "other"): ("RUNNING", None),
        ("other", "0"): ("RUNNING", None),
    }
    assert "no MLflow run was left open" in home.said("status", "first", "--repair")


def test_repair_is_refused_while_a_driver_runs_and_makes_no_store(home):
    study = home.study(running=True)
    assert "study 'first' is in use by process" in home.refused("status", "first", "--repair")
    study.unlock()
    assert "there is no such file" in home.refused("status", "first", "--repair")
    assert not (home.folder / "mlflow.db").exists()
    assert not files.absolute(study.folder / "tracking.json").exists()
