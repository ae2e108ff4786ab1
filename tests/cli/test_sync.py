"""`raydd sync` on studies made of files, with real sqlite stores: no Ray, and what is there already stays."""

import datetime
import socket
from pathlib import Path

import numpy as np
import pytest

from raydd import files
from raydd.storage.preview import png
from raydd.tuning import synchronise
from raydd.tuning.course import SHEET
from raydd.tuning.tracking import Tracker

BEGAN = int(datetime.datetime(2026, 1, 1, 0, 0, 1, tzinfo=datetime.UTC).timestamp() * 1000)


def arm(name, mean):
    values = {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 3, "net": "convnet", "bytes": 15000}
    return {
        "name": name,
        "title": name,
        "label_regime": "hard",
        "optimisation_steps": 31,
        "equal_steps": None,
        **values,
    }


@pytest.fixture(scope="module")
def searched(tmp_path_factory, new_home):
    """A home with a study whose tracking store was away all the time, the study, and what its first `sync` said."""
    home = new_home(tmp_path_factory.mktemp("home"))
    study = home.study()
    home.trial(study, [0.3, 0.5, 0.6], "complete")
    home.trial(study, [0.3, 0.4], "pruned")
    home.trial(study, [0.2], "failed", why="it broke", kind="error", failed=("error", "it broke"))
    home.trial(study, [0.1, 0.2])  # can go on
    for number in study.numbers():
        folder = study.trial_files(number).attempt_folder(1)
        files.write_bytes(folder / "distilled.safetensors", b"set %d" % number)
        files.write_bytes(folder / "grid.png", png(np.full((40, 40, 3), 50 * number, dtype=np.uint8)))
        files.write_bytes(folder / "previews" / "000002.png", b"preview")
    return home, study, home.said("sync", "first")


def store(home, name="mlflow.db"):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home.folder / name}")
    experiments = [found.experiment_id for found in client.search_experiments() if found.name != "Default"]
    return client, {run.info.run_name: run for run in client.search_runs(experiments, max_results=100)}


def points(client, run, key):
    return [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, key)]


def paths(client, run_id, folder=None):
    found = []
    for item in client.list_artifacts(run_id, folder):
        found += paths(client, run_id, item.path) if item.is_dir else [item.path]
    return found


@pytest.mark.integration
def test_all_of_a_study_comes_into_the_store_once_and_a_second_time_adds_nothing(searched):
    home, study, said = searched
    assert "has all of study first, 4 trials; " in said
    client, runs = store(home)
    assert {name: run.info.status for name, run in runs.items()} == {
        "first": "KILLED",  # it can be resumed
        "0": "FINISHED",
        "1": "KILLED",
        "2": "FAILED",
        "3": "KILLED",
    }
    assert points(client, runs["0"], "val_accuracy") == [(0, 0.3), (1, 0.5), (2, 0.6)]
    assert points(client, runs["3"], "val_accuracy") == [(0, 0.1), (1, 0.2)]
    assert points(client, runs["first"], "search/val_accuracy") == [(1, 0.6), (2, 0.6), (3, 0.6)]
    assert runs["first"].data.metrics["trials/failed"] == 1.0
    assert runs["2"].data.tags["raydd.why"] == "it broke"
    assert [runs[str(number)].data.tags["raydd.outcome"] for number in range(4)] == [
        *("complete", "pruned", "failed", "interrupted")
    ]
    # Times are those at which things happened.
    times = [one.timestamp for one in client.get_metric_history(runs["0"].info.run_id, "val_accuracy")]
    assert times == [BEGAN + 360_000, BEGAN + 720_000, BEGAN + 1_080_000]
    assert (runs["0"].info.start_time, runs["0"].info.end_time) == (BEGAN, BEGAN + 1_080_000)
    assert {
        *("distilled/grid.png", "distilled/distilled.safetensors", "previews/000002.png"),
        *("hyperparameters.json", "study.yaml", "provenance.json"),
    } == set(paths(client, runs["0"].info.run_id))
    assert set(paths(client, runs["first"].info.run_id)) == {"study.yaml", "provenance.json", SHEET}
    assert study.links()["whole"] is False  # nothing is confirmed

    assert "; 0 metric values and 0 files were missing" in home.said("sync", "first")
    client, same = store(home)
    for name, run in runs.items():
        assert same[name].info.end_time == run.info.end_time
        for key in run.data.metrics:
            assert points(client, same[name], key) == points(client, run, key)


@pytest.mark.integration
def test_a_copy_of_a_confirmed_study_has_its_headline_and_its_report_and_leaves_the_study_as_it_is(searched):
    home, study, _ = searched
    links = study.links()
    report = {
        "arms": [arm("winner", 0.7), arm("base", 0.6)],
        "label_regime": "hard",
        "winner": {"trial": 0},
        "test_readings": 6,
        "differences": [],
    }
    files.write_json(study.folder / "confirm" / "winner.json", {"winner": 0, "candidates": [0]})
    files.write_json(study.folder / "confirm" / "report.json", report)
    files.write_text(study.folder / "report" / "report.html", "<html></html>")
    copy = f"sqlite:///{home.folder / 'copy.db'}"
    home.said("sync", "first", "--tracking-uri", copy)
    client, runs = store(home, "copy.db")
    parent = runs["first"]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["confirmed/test_accuracy"] == 0.7
    assert parent.data.metrics["base/low"] == pytest.approx(0.5)
    assert parent.data.tags["mlflow.note.content"].startswith(
        "**Confirmed: 70.0 % [60.0, 80.0] on test data**"
    )
    assert {"confirm/report.json", "report/report.html"} <= set(paths(client, parent.info.run_id))
    assert study.links() == links

    files.write_text(study.folder / "report" / "report.html", "<html>of later</html>")
    done = synchronise(study, uri=copy, trials=False)
    assert (done.points, done.uploaded, done.run_id) == (0, 1, parent.info.run_id)
    found = client.download_artifacts(parent.info.run_id, "report/report.html")
    assert Path(found).read_text() == "<html>of later</html>"


@pytest.mark.integration
def test_gaps_are_filled_and_what_is_there_is_not_written_again(searched):
    home, study, _ = searched
    parent = files.read_json(study.folder / "spool" / "parent.json")
    uri = f"sqlite:///{home.folder / 'half.db'}"
    Tracker.preflight(uri, parent["experiment"], home.folder / "artifacts")
    tracker = Tracker(uri, parent["experiment"], artifact_root=home.folder / "artifacts")
    tracker.open_study("first", params={}, tags=parent["tags"], description="", dataset={})
    tracker.open_trial(0, params={}, tags={})
    tracker.log_trial(0, {"val_accuracy": 0.5}, 1)  # the driver died then, and the first report was dropped
    tracker.close()
    assert tracker.problems == []
    home.said("sync", "first", "--tracking-uri", uri)
    client, runs = store(home, "half.db")
    assert sorted(points(client, runs["0"], "val_accuracy")) == [(0, 0.3), (1, 0.5), (2, 0.6)]
    assert sorted(points(client, runs["0"], "loss/total")) == [(0, 0.5), (1, 0.5), (2, 0.5)]
    assert runs["0"].info.status == "FINISHED"


@pytest.mark.integration
def test_a_study_that_runs_is_refused(searched):
    home, study, _ = searched
    study.lock()
    try:
        said = home.refused("sync", "first")
    finally:
        study.unlock()
    assert said.startswith("study 'first' is in use by process ")


@pytest.mark.integration
def test_a_store_that_is_away_is_told_at_once_and_the_study_is_free_again(searched):
    home, study, _ = searched
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said = home.refused("sync", "first", "--tracking-uri", f"http://127.0.0.1:{port}")
    assert said.startswith(f"the MLflow server http://127.0.0.1:{port} does not answer")
    assert not study.is_running()
