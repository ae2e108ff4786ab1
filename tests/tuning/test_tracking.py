from __future__ import annotations

import itertools
import json
import math
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from raydd.errors import TrackingError
from raydd.tuning import runs
from raydd.tuning.mlflow_limits import clean, flat
from raydd.tuning.tracking import Tracker, _patience, ui_command

EXPERIMENT = "iid-digits-ipc10"
FINGERPRINT = "0123456789abcdef" * 4
OUTCOMES = {
    "complete": "FINISHED",
    "pruned": "KILLED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}

names = (f"study-{number}" for number in itertools.count())


class Home:
    """A home with a sqlite store, and a client that reads what trackers wrote into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "mlflow.db"
        self.uri = f"sqlite:///{self.database}"
        self.artifacts = folder / "artifacts"

    def tracker(self, **settings: Any) -> Tracker:
        return Tracker(self.uri, EXPERIMENT, artifact_root=self.artifacts, **settings)

    @property
    def client(self):
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    @property
    def experiment(self):
        return self.client.get_experiment_by_name(EXPERIMENT)

    def runs(self, study: str) -> dict[str, Any]:
        """Runs of a study by their names."""
        found = self.client.search_runs([self.experiment.experiment_id], f"tags.`raydd.study` = '{study}'")
        assert len({run.info.run_name for run in found}) == len(found)
        return {run.info.run_name: run for run in found}

    def history(self, run, key: str) -> list[tuple[int, float]]:
        return [(point.step, point.value) for point in self.client.get_metric_history(run.info.run_id, key)]

    def read(self, run, path: str) -> bytes:
        return Path(self.client.download_artifacts(run.info.run_id, path)).read_bytes()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    home = Home(tmp_path_factory.mktemp("a home"))  # the space is meant: addresses must survive it
    Tracker.preflight(home.uri, EXPERIMENT, home.artifacts)
    return home


def open_study(tracker: Tracker, name: str, **changes: Any) -> None:
    arguments: dict[str, Any] = {
        "params": {"ipc": 10, "data": {"name": "digits"}},
        "tags": {"raydd.method": "iid"},
        "description": "**IID** on digits",
        "dataset": {
            "name": "digits",
            "fingerprint": FINGERPRINT,
            "source": "scikit-learn",
            "context": "training",
        },
        "files": [],
    }
    tracker.open_study(name, **{**arguments, **changes})


def open_trial(tracker: Tracker, number: int, **params: Any) -> None:
    tracker.open_trial(number, params=params, tags={"raydd.method": "iid"})


def finish(tracker: Tracker) -> None:
    tracker.close()
    assert tracker.problems == []


@pytest.mark.integration
def test_preflight_makes_the_experiment_with_its_folder_and_headline_metric(home):
    assert home.experiment.artifact_location == home.artifacts.as_uri()
    assert home.experiment.tags["mlflow.experiment.primaryMetric.name"] == "val_accuracy"
    assert home.experiment.tags["mlflow.experiment.primaryMetric.greaterIsBetter"] == "True"
    Tracker.preflight(home.uri, EXPERIMENT, home.artifacts)


@pytest.mark.integration
def test_a_study_is_a_parent_run_and_its_trials_are_the_children(home, tmp_path):
    study, tracker = next(names), home.tracker()
    yaml = tmp_path / "study.yaml"
    yaml.write_text("ipc: 10\n")
    open_study(tracker, study, files=[yaml, tmp_path / "missing.json"])
    open_trial(tracker, 0, lr_img=1.0, cc_form="sum")
    tracker.log_trial(0, {"val_accuracy": 0.5, "loss/total": 2.5}, 10)
    tracker.log_trial(0, {"val_accuracy": 0.6, "loss/total": 1.5}, 20)
    tracker.close_trial(0, "complete", metrics={"seconds": 3.5})
    tracker.close_study()
    finish(tracker)

    found = home.runs(study)
    assert set(found) == {study, "0"}
    parent, child = found[study], found["0"]
    assert parent.data.params == {"ipc": "10", "data.name": "digits"}
    assert child.data.params == {"lr_img": "1.0", "cc_form": "sum"}
    assert parent.data.tags["mlflow.note.content"] == "**IID** on digits"
    assert "raydd.trial" not in parent.data.tags
    expected = {
        "raydd.study": study,
        "raydd.trial": "0",
        "raydd.method": "iid",
        "raydd.outcome": "complete",
        "mlflow.parentRunId": parent.info.run_id,
        "mlflow.source.type": "LOCAL",
    }
    assert expected.items() <= child.data.tags.items()
    assert child.data.tags["mlflow.user"] == parent.data.tags["mlflow.user"]
    assert home.history(child, "val_accuracy") == [(10, 0.5), (20, 0.6)]
    assert home.history(child, "loss/total") == [(10, 2.5), (20, 1.5)]
    assert home.history(child, "seconds") == [(20, 3.5)]
    assert (parent.info.status, child.info.status) == ("FINISHED", "FINISHED")
    assert home.read(parent, "study.yaml") == b"ipc: 10\n"
    assert tracker.links() == {
        "uri": home.uri,
        "experiment_id": home.experiment.experiment_id,
        "run_id": parent.info.run_id,
        "trials": {0: child.info.run_id},
    }


@pytest.mark.integration
def test_the_dataset_is_an_input_of_the_study_once_even_when_it_is_reopened(home):
    study = next(names)
    for _ in range(2):
        tracker = home.tracker()
        open_study(tracker, study)
        finish(tracker)
    [entry] = home.runs(study)[study].inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("digits", FINGERPRINT[:36])
    assert json.loads(entry.dataset.source) == {"uri": "scikit-learn"}
    assert {tag.key: tag.value for tag in entry.tags} == {"mlflow.data.context": "training"}


@pytest.mark.integration
def test_every_outcome_ends_in_its_status(home):
    study, tracker = next(names), home.tracker()
    open_study(tracker, study)
    for number, outcome in enumerate(OUTCOMES):
        open_trial(tracker, number)
        tracker.close_trial(number, outcome, f"because of {outcome}")
    finish(tracker)
    found = home.runs(study)
    for number, (outcome, status) in enumerate(OUTCOMES.items()):
        run = found[str(number)]
        assert (run.info.status, run.data.tags["raydd.outcome"]) == (status, outcome)
        assert run.data.tags["raydd.why"] == f"because of {outcome}"
        assert run.info.end_time is not None


@pytest.mark.integration
def test_nothing_is_left_running_after_the_study_is_closed_not_even_from_a_driver_that_was_killed(home):
    study = next(names)
    killed = home.tracker()
    open_study(killed, study)
    for number in range(3):
        open_trial(killed, number)
    killed.log_trial(0, {"val_accuracy": 0.1}, 5)
    finish(killed)
    assert {run.info.status for run in home.runs(study).values()} == {"RUNNING"}

    resumed = home.tracker()
    open_study(resumed, study)
    open_trial(resumed, 1)
    resumed.close_trial(1, "complete")
    open_trial(resumed, 7)
    resumed.close_study("KILLED")
    finish(resumed)
    outcomes = {
        name: (run.info.status, run.data.tags.get("raydd.outcome")) for name, run in home.runs(study).items()
    }
    interrupted = ("KILLED", "interrupted")
    assert outcomes == {
        study: ("KILLED", None),
        "0": interrupted,
        "1": ("FINISHED", "complete"),
        "2": interrupted,
        "7": interrupted,
    }


@pytest.mark.integration
def test_a_second_tracker_continues_the_same_runs_and_repeats_no_step(home):
    study, first = next(names), home.tracker()
    open_study(first, study, params={"trials": 16, "ipc": 10})
    open_trial(first, 3, lr_img=1.0)
    for step in (10, 20, 30):
        first.log_trial(3, {"val_accuracy": step / 100, "loss/total": math.nan}, step)
    first.close_trial(3, "interrupted", "Ctrl-C", {"seconds": 7.0})
    first.close_study("KILLED")
    finish(first)
    before = {name: run.info.run_id for name, run in home.runs(study).items()}

    second = home.tracker()
    open_study(second, study, params={"trials": 32, "ipc": 10})
    open_trial(second, 3, lr_img=1.0)
    open_trial(second, 3, lr_img=1.0)
    assert second.flush(30)
    running = home.runs(study)
    assert {run.info.status for run in running.values()} == {"RUNNING"}
    assert not {"raydd.outcome", "raydd.why"} & running["3"].data.tags.keys()
    for step in (20, 30, 40):  # it goes on from a checkpoint at 10
        second.log_trial(3, {"val_accuracy": 9.0 if step < 40 else 0.4, "loss/total": 1.0}, step)
    second.log_trial(3, {"late": 1.0}, 20)
    second.close_trial(3, "complete", metrics={"seconds": 9.0})
    second.close_study()
    finish(second)

    found = home.runs(study)
    assert {name: run.info.run_id for name, run in found.items()} == before
    child, parent = found["3"], found[study]
    assert home.history(child, "val_accuracy") == [(10, 0.1), (20, 0.2), (30, 0.3), (40, 0.4)]
    assert [step for step, _ in home.history(child, "loss/total")] == [10, 20, 30, 40]
    assert home.history(child, "late") == [(20, 1.0)]
    assert home.history(child, "seconds") == [(30, 7.0), (40, 9.0)]
    assert child.info.status == "FINISHED"
    assert (parent.data.params["trials"], parent.data.tags["raydd.changed.trials"]) == ("16", "32")


@pytest.mark.integration
def test_reports_logged_twice_in_one_process_are_written_once_also_after_the_end(home):
    study, tracker = next(names), home.tracker()
    open_study(tracker, study)
    open_trial(tracker, 0)
    for _ in range(2):
        tracker.log_trial(0, {"val_accuracy": 0.5}, 1)
    assert tracker.flush(30)
    tracker.log_trial(0, {"val_accuracy": 0.6}, 1)
    tracker.close_trial(0, "complete")
    tracker.log_trial(0, {"val_accuracy": 0.7}, 1)
    tracker.log_trial(0, {"val_accuracy": 0.8}, 2)
    finish(tracker)
    assert home.history(home.runs(study)["0"], "val_accuracy") == [(1, 0.5), (2, 0.8)]


@pytest.mark.integration
def test_nan_is_kept_infinity_is_left_out_and_no_number_is_a_problem(home):
    study, tracker = next(names), home.tracker()
    open_study(tracker, study)
    open_trial(tracker, 0)
    tracker.log_trial(0, {"nan": math.nan, "up": math.inf, "down": -math.inf, "word": "x", "acc@1": 1}, 0)  # type: ignore[dict-item]
    tracker.close()
    metrics = home.runs(study)["0"].data.metrics
    assert set(metrics) == {"nan", "acc_1"}
    assert math.isnan(metrics["nan"])
    assert tracker.problems == ["metric 'word' is no number: 'x'"]


@pytest.mark.integration
def test_more_params_tags_and_metrics_than_one_call_takes(home):
    study, tracker = next(names), home.tracker()
    many = {f"p{number}": number for number in range(230)}
    open_study(
        tracker, study, params={**many, "long": "x" * 7000}, tags={f"t{number}": "1" for number in range(150)}
    )
    open_trial(tracker, 0, **many)
    for step in range(3):
        tracker.log_trial(0, {f"m{number}": float(number) for number in range(700)}, step)
    finish(tracker)
    found = home.runs(study)
    assert len(found[study].data.params) == 231
    assert len(found[study].data.params["long"]) == 6000
    assert found["0"].data.params == {name: str(number) for name, number in many.items()}
    assert sum(name.startswith("t") for name in found[study].data.tags) == 150
    assert found["0"].data.metrics == {f"m{number}": float(number) for number in range(700)}
    assert home.history(found["0"], "m699") == [(0, 699.0), (1, 699.0), (2, 699.0)]


@pytest.mark.integration
def test_artifacts_lie_under_their_names_and_can_be_read(home, tmp_path):
    study, tracker = next(names), home.tracker()
    picture, model = tmp_path / "grid-of-trial.png", tmp_path / "model"
    picture.write_bytes(b"first")
    model.write_bytes(b"weights")
    open_study(tracker, study)
    open_trial(tracker, 0)
    tracker.trial_artifacts(0, {"distilled/grid.png": picture, "gone.txt": tmp_path / "gone.txt"})
    assert tracker.flush(30)
    picture.write_bytes(b"second")
    tracker.trial_artifacts(0, {"distilled/grid.png": picture, "model": model})
    tracker.study_artifacts({"confirm/a/b.png": picture})
    finish(tracker)
    found = home.runs(study)
    child = found["0"]
    assert home.read(child, "distilled/grid.png") == b"second"
    assert home.read(child, "model") == b"weights"
    assert home.read(found[study], "confirm/a/b.png") == b"second"
    listed = home.client.list_artifacts(child.info.run_id)
    assert sorted(item.path for item in listed) == ["distilled", "model"]
    assert (
        home.artifacts / child.info.run_id / "artifacts" / "distilled" / "grid.png"
    ).read_bytes() == b"second"


@pytest.mark.integration
def test_figures_of_the_study_are_replaced_and_equal_ones_not_repeated(home):
    study, tracker = next(names), home.tracker()
    open_study(tracker, study)
    for value in (0.5, 0.5, 0.7, 0.6, 0.6):
        tracker.log_study({"search/val_accuracy": value})
    tracker.log_study({}, {"raydd.winner": "3"}, "done")
    finish(tracker)
    again = home.tracker()
    open_study(again, study, description="")
    again.log_study({"search/val_accuracy": 0.6, "confirmed/test_accuracy": 0.55})
    finish(again)
    run = home.runs(study)[study]
    assert run.data.metrics == {"search/val_accuracy": 0.6, "confirmed/test_accuracy": 0.55}
    assert [value for _, value in home.history(run, "search/val_accuracy")] == [0.5, 0.7, 0.6]
    assert (run.data.tags["raydd.winner"], run.data.tags["mlflow.note.content"]) == ("3", "done")


@pytest.mark.integration
def test_equal_names_with_other_study_ids_are_other_studies(home):
    study, parents = next(names), []
    for identity in ("a", "b", "a"):
        tracker = home.tracker()
        open_study(tracker, study, tags={"raydd.study_id": identity})
        open_trial(tracker, 0)
        finish(tracker)
        parents.append((tracker.links()["run_id"], tracker.links()["trials"]))
    assert parents[0] == parents[2]
    assert parents[0][0] != parents[1][0]
    assert parents[0][1] != parents[1][1]


@pytest.mark.integration
def test_calls_return_at_once_while_the_store_works(home):
    study, tracker = next(names), home.tracker()
    began = time.monotonic()
    open_study(tracker, study)
    for number in range(20):
        open_trial(tracker, number, lr_img=1.0)
        for step in range(20):
            tracker.log_trial(number, {"val_accuracy": step / 20, "loss/total": 1.0}, step)
        tracker.close_trial(number, "complete")
    tracker.close_study()
    assert time.monotonic() - began < 0.5
    finish(tracker)
    found = home.runs(study)
    assert len(found) == 21
    for number in range(20):
        assert home.history(found[str(number)], "val_accuracy") == [(step, step / 20) for step in range(20)]


@pytest.mark.integration
def test_a_trial_that_was_never_opened_is_a_problem_and_no_more(home):
    study, tracker = next(names), home.tracker()
    open_study(tracker, study)
    tracker.log_trial(5, {"val_accuracy": 0.5}, 1)
    tracker.close_trial(5, "failed")
    open_trial(tracker, 6)
    tracker.close()
    assert set(home.runs(study)) == {study, "6"}
    assert tracker.problems == [
        "the run of trial 5 was not opened, so nothing of it can be written (2 times)"
    ]


@pytest.mark.integration
def test_a_store_that_is_away_for_a_while_gets_everything_afterwards(home, tmp_path):
    other = Home(tmp_path)
    shutil.copy(home.database, other.database)
    study, tracker = next(names), other.tracker()
    open_study(tracker, study)
    open_trial(tracker, 0)
    assert tracker.flush(30)
    aside = tmp_path / "aside.db"
    other.database.rename(aside)
    other.database.mkdir()
    began = time.monotonic()
    for step in range(5):
        tracker.log_trial(0, {"val_accuracy": float(step)}, step)
    tracker.close_trial(0, "complete")
    open_trial(tracker, 1)
    assert time.monotonic() - began < 0.5
    assert not tracker.flush(0.5)
    assert tracker.problems
    other.database.rmdir()
    aside.rename(other.database)
    assert tracker.flush(30)
    finish(tracker)
    found = other.runs(study)
    assert found["0"].info.status == "FINISHED"
    assert other.history(found["0"], "val_accuracy") == [(step, float(step)) for step in range(5)]
    assert found["1"].info.status == "RUNNING"


@pytest.mark.integration
def test_a_store_that_breaks_for_good_holds_nobody_up(home, tmp_path):
    other = Home(tmp_path)
    shutil.copy(home.database, other.database)
    tracker = other.tracker()
    open_study(tracker, next(names))
    open_trial(tracker, 0)
    assert tracker.flush(30)
    other.database.write_bytes(b"this is no database" * 1000)
    began = time.monotonic()
    tracker.log_trial(0, {"val_accuracy": 0.5}, 1)
    tracker.close_trial(0, "complete")
    tracker.close_study()
    assert time.monotonic() - began < 0.5
    tracker.close(30)
    assert time.monotonic() - began < 15
    assert 1 <= len(tracker.problems) <= 8
    assert all("\n" not in problem for problem in tracker.problems)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.integration
def test_a_server_that_does_not_listen_holds_nobody_up_and_its_password_is_not_shown():
    tracker = Tracker(f"http://ada:geheim@127.0.0.1:{free_port()}", EXPERIMENT, artifact_root=None)
    began = time.monotonic()
    open_study(tracker, "first")
    open_trial(tracker, 0)
    for step in range(100):
        tracker.log_trial(0, {"val_accuracy": 0.5}, step)
    assert time.monotonic() - began < 0.5
    tracker.close(60)
    assert time.monotonic() - began < 45
    assert "geheim" not in str(tracker.problems) + str(tracker.links())
    assert "API request to http://ada:***@127.0.0.1" in tracker.problems[0]
    assert tracker.problems[-1] == "the store was closed before 102 entries were written"


@pytest.mark.integration
def test_a_server_that_never_answers_delays_the_end_by_the_timeout_only():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        tracker = Tracker(f"http://127.0.0.1:{port}", EXPERIMENT, artifact_root=None)
        open_study(tracker, "first")
        began = time.monotonic()
        assert not tracker.flush(0.2)
        tracker.close(0.5)
        assert time.monotonic() - began < 3
        assert tracker.problems == ["the store was closed before 1 entries were written"]


@pytest.mark.integration
def test_preflight_says_in_one_sentence_that_a_server_does_not_answer():
    port = free_port()
    began = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        Tracker.preflight(f"http://ada:geheim@127.0.0.1:{port}", EXPERIMENT, None)
    assert time.monotonic() - began < 15
    assert str(caught.value).startswith(f"the MLflow server http://ada:***@127.0.0.1:{port} does not answer")
    assert "\n" not in str(caught.value)


@pytest.mark.integration
def test_preflight_refuses_a_file_that_is_no_database_and_a_folder_that_cannot_be_made(tmp_path):
    bad = tmp_path / "bad.db"
    bad.write_bytes(b"this is no database" * 1000)
    with pytest.raises(
        TrackingError, match=r"cannot use the tracking store .*bad\.db: .*not a database"
    ) as caught:
        Tracker.preflight(f"sqlite:///{bad}", EXPERIMENT, tmp_path / "artifacts")
    assert "\n" not in str(caught.value)
    with pytest.raises(TrackingError, match=r"cannot use the tracking store .*: Not a directory: "):
        Tracker.preflight(f"sqlite:///{bad}/below/mlflow.db", EXPERIMENT, tmp_path / "artifacts")


@pytest.mark.integration
def test_preflight_refuses_an_experiment_that_was_deleted(home):
    identity = home.client.create_experiment("deleted")
    home.client.delete_experiment(identity)
    with pytest.raises(
        TrackingError, match=rf"tracking.experiment: 'deleted' was deleted .* restore -x {identity}"
    ):
        Tracker.preflight(home.uri, "deleted", home.artifacts)


@pytest.mark.integration
def test_two_first_searches_may_prepare_one_store_at_once(tmp_path):
    uri = f"sqlite:///{tmp_path / 'new home' / 'mlflow.db'}"
    program = (
        "import sys; from pathlib import Path; from raydd.tuning.tracking import Tracker; "
        "Tracker.preflight(sys.argv[1], 'x', Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, uri, str(tmp_path / "artifacts")]
    both = [
        subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    # Nothing on the screen either: MLflow's migration log is kept out.
    assert [process.communicate(timeout=120) for process in both] == [("", ""), ("", "")]
    assert [process.returncode for process in both] == [0, 0]


def test_preflight_refuses_folders_before_mlflow_is_loaded(tmp_path):
    with pytest.raises(TrackingError, match="is a folder"):
        Tracker.preflight(str(tmp_path / "mlruns"), EXPERIMENT, None)
    assert not (tmp_path / "mlruns").exists()


def test_importing_the_tracker_loads_neither_mlflow_nor_torch():
    program = "import sys, raydd.tuning.tracking; print([m for m in ('mlflow', 'torch', 'ray') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_pickled_tracker_carries_no_password_and_no_thread():
    tracker = Tracker("postgresql+psycopg2://ada:geheim@db/x", EXPERIMENT, artifact_root=None)
    stored = pickle.dumps(tracker)
    assert b"geheim" not in stored
    assert pickle.loads(stored).problems == []


class Refusal(Exception):
    def __init__(self, code: str, message: str = "", **extra: Any) -> None:
        super().__init__(message)
        self.error_code = code
        self.__dict__.update(extra)


class OperationalError(Exception):
    """Of the name that SQLAlchemy gives to a locked or missing sqlite file."""


def test_an_absent_store_is_tried_for_ever_and_a_refusal_once():
    unreachable = Refusal("INTERNAL_ERROR", "API request to http://h failed with exception refused")
    assert [_patience(unreachable, n) for n in (1, 2, 3, 7, 100)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert _patience(Refusal("TEMPORARILY_UNAVAILABLE"), 1) == 0.5
    assert _patience(OperationalError("unable to open database file"), 1) == 0.5
    assert _patience(Refusal("INVALID_PARAMETER_VALUE"), 1) is None
    assert _patience(OSError("disk full"), 1) is None


def test_a_server_that_chokes_on_one_entry_is_given_five_tries():
    for confused in (
        Refusal("INTERNAL_ERROR", "oops", json={}),
        Refusal("INTERNAL_ERROR", "API request to http://h failed: too many 500 error responses"),
    ):
        assert _patience(confused, 4) == 4.0
        assert _patience(confused, 5) is None


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("loss/total", "loss/total"),
        ("acc@1", "acc_1"),
        ("/absolute", "_absolute"),
        ("../up", "_up"),
        ("a//b", "a__b"),
        ("", "_"),
        ("x" * 300, "x" * 250),
    ],
)
def test_names_become_keys_that_mlflow_takes(name, key):
    assert clean(name) == key


def test_nested_settings_become_dotted_params_without_passwords():
    settings = {"a": {"b": 1, "c": {"d": None}}, "e": [1, "x"], "uri": "http://u:geheim@h"}
    assert dict(flat(settings)) == {"a.b": "1", "a.c.d": "None", "e": '[1, "x"]', "uri": "http://u:***@h"}


def test_the_status_of_every_outcome():
    assert runs.STATUS == OUTCOMES


@pytest.mark.slow
def test_the_ui_serves_the_study_on_loopback(home, tmp_path):
    study, tracker, port = next(names), home.tracker(), free_port()
    picture = tmp_path / "grid.png"
    picture.write_bytes(b"a picture")
    open_study(tracker, study)
    tracker.study_artifacts({"distilled/grid.png": picture})
    tracker.close_study()
    finish(tracker)
    folder = tmp_path / "started here"
    folder.mkdir()
    server = subprocess.Popen(ui_command(home.uri, port), cwd=folder, start_new_session=True)
    try:
        base, run_id = f"http://127.0.0.1:{port}", tracker.links()["run_id"]

        def fetch(path: str) -> bytes:
            with urllib.request.urlopen(base + path, timeout=10) as answer:
                return answer.read()

        deadline = time.monotonic() + 120
        while True:
            try:
                page = fetch("/")
                break
            except OSError:
                assert time.monotonic() < deadline
                assert server.poll() is None
                time.sleep(0.5)
        assert b'<div id="root"' in page
        run = json.loads(fetch(f"/ajax-api/2.0/mlflow/runs/get?run_id={run_id}"))["run"]
        assert (run["info"]["run_name"], run["info"]["status"]) == (study, "FINISHED")
        assert fetch(f"/get-artifact?path=distilled/grid.png&run_uuid={run_id}") == b"a picture"
        assert list(folder.iterdir()) == []
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


@pytest.mark.slow
def test_a_tracker_writes_through_a_server_that_comes_late(home, tmp_path):
    port = free_port()
    tracker = Tracker(f"http://127.0.0.1:{port}", "remote", artifact_root=tmp_path / "unused")
    study, picture = next(names), tmp_path / "grid.png"
    picture.write_bytes(b"a picture")
    open_study(tracker, study)
    open_trial(tracker, 0, lr_img=1.0)
    for step in range(5):
        tracker.log_trial(0, {"val_accuracy": step / 10}, step)
    tracker.trial_artifacts(0, {"distilled/grid.png": picture})
    tracker.close_trial(0, "complete")
    tracker.close_study()
    folder = tmp_path / "server"
    folder.mkdir()
    server = subprocess.Popen(ui_command(home.uri, port), cwd=folder, start_new_session=True)
    try:
        assert tracker.flush(150)
        assert tracker.problems == []
        Tracker.preflight(f"http://127.0.0.1:{port}", "remote", None)
        experiment = home.client.get_experiment_by_name("remote")
        assert experiment.artifact_location.startswith("mlflow-artifacts:")
        runs_ = home.client.search_runs([experiment.experiment_id], f"tags.`raydd.study` = '{study}'")
        found = {run.info.run_name: run for run in runs_}
        assert {name: run.info.status for name, run in found.items()} == {study: "FINISHED", "0": "FINISHED"}
        assert home.history(found["0"], "val_accuracy") == [(step, step / 10) for step in range(5)]
        assert next(folder.rglob("grid.png")).read_bytes() == b"a picture"
        assert not (tmp_path / "unused").exists()
    finally:
        tracker.close(5)
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
