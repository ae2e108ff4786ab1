"""deploy/server for real: a login for everybody, runs in PostgreSQL, artifacts through the server, and `raydd get`."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from raydd.cli import main
from raydd.errors import ArtifactError, StudyError, TrackingError
from raydd.formation import initial_labels
from raydd.storage import DistilledSet
from raydd.tuning import fetching
from raydd.tuning.doctor import store
from raydd.tuning.runs import SET
from raydd.tuning.tracking import Tracker

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
ADMIN = "a long password"


def small_set(path, seed=0):
    facts = {
        "schema": 3,
        "method": "dm",
        "hyperparameters": {"lr_img": 0.5},
        "ipc": 1,
        "classes": 2,
        "class_names": ["cat", "dog"],
        "channels": 1,
        "size": 8,
        "iterations": 3,
        "iteration": 3,
        "seed": seed,
        "data": {"name": "pets", "fingerprint": "ab", "train": "cd", "split": {}},
        "normalisation": {"mean": [0.5], "std": [0.25]},
        "pixels": "normalised",
        "decode": {"kind": "identity"},
        "labels": {"kind": "hard"},
        "evaluation": {"protocol": "dsa", "net": "convnet-w4", "epochs": None, "augmentation": ""},
    }
    pixels = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    return DistilledSet(pixels, initial_labels(2, 1), facts).save(path)


def log_study(uri, name, folder, *, confirmed=True):
    """A study of three trials with their sets, as a driver logs it."""
    tracker = Tracker(uri, "recipe", artifact_root=None)
    tags = {"raydd.study": name, "raydd.study_id": f"id-{name}"}
    tracker.open_study(name, params={}, tags=tags, description="", dataset={})
    for number, accuracy in enumerate((0.5, 0.75, 0.75)):
        tracker.open_trial(number, params={"lr_img": 0.5}, tags=tags)
        tracker.log_trial(number, {"val_accuracy": accuracy}, 3)
        tracker.trial_artifacts(number, {SET: small_set(folder / f"{number}.safetensors", number)})
        tracker.close_trial(number, "complete", metrics={"seconds": 1.0})
    if confirmed:
        figures = {"confirmed/test_accuracy": 0.7, "confirmed/low": 0.65, "confirmed/high": 0.75}
        tracker.log_study(figures, tags={"raydd.winner": "1"})
        tracker.study_artifacts({SET: small_set(folder / "winner.safetensors", 9)})
    tracker.close_study()
    assert tracker.flush(120)
    tracker.close()
    assert tracker.problems == []


@pytest.fixture(scope="module")
def logged(server, tmp_path_factory):
    """Name of a study that is logged and confirmed; read only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        patch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN)
        log_study(server.uri, "first", tmp_path_factory.mktemp("sets"))
    return "first"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"RAYDD_SERVER_DATABASE": None}, "set RAYDD_SERVER_DATABASE=postgresql+psycopg2://"),
        ({"RAYDD_SERVER_DATABASE": "sqlite:///a.db"}, "must begin with postgresql+psycopg2://"),
        ({"RAYDD_SERVER_ARTIFACTS": None}, "set RAYDD_SERVER_ARTIFACTS"),
        ({"MLFLOW_AUTH_ADMIN_PASSWORD": None}, "there is no default"),
        ({"MLFLOW_AUTH_ADMIN_PASSWORD": "password"}, "has 8 characters"),
        ({"MLFLOW_FLASK_SERVER_SECRET_KEY": "short"}, "set MLFLOW_FLASK_SERVER_SECRET_KEY"),
        ({"MLFLOW_FLASK_SERVER_SECRET_KEY": None}, "set MLFLOW_FLASK_SERVER_SECRET_KEY"),
        ({"RAYDD_SERVER_HOST": "0.0.0.0"}, "set RAYDD_SERVER_NAMES"),
        ({"RAYDD_SERVER_PERMISSION": "ALL"}, "must be READ, EDIT or NO_PERMISSIONS"),
        ({"RAYDD_SERVER_PYTHON": "/bin/false"}, "pip install 'raydd[server]'"),
    ],
)
def test_nothing_starts_half_set_up(changes, sentence, tmp_path):
    settings = {
        "RAYDD_SERVER_DATABASE": "postgresql+psycopg2://a:b@127.0.0.1:1/c",
        "RAYDD_SERVER_PYTHON": sys.executable,
    }
    settings |= {"RAYDD_SERVER_ARTIFACTS": str(tmp_path), "RAYDD_SERVER_STATE": str(tmp_path / "state")}
    settings |= {"MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN, "MLFLOW_FLASK_SERVER_SECRET_KEY": "0" * 32}
    chosen = {key: value for key, value in (settings | changes).items() if value is not None}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "RAYDD_"))}
    start = ROOT / "deploy" / "server" / "start.sh"
    done = subprocess.run([start], env=kept | chosen, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (tmp_path / "state").exists()


def test_without_a_login_there_is_nothing_to_see(server):
    assert server.status("/health") == 200
    for path in (
        "/",
        "/api/2.0/mlflow/experiments/get?experiment_id=0",
        "/api/2.0/mlflow-artifacts/artifacts",
    ):
        assert server.status(path) == 401
        assert server.status(path, "admin", "a wrong password") == 401
    assert server.status("/", "admin", ADMIN) == 200


def test_it_listens_on_loopback_alone_and_hides_its_passwords(server):
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    port = f"{server.port:04X}"
    listening = {row[1] for row in table if row[1].endswith(f":{port}") and row[3] == "0A"}
    assert listening == {f"0100007F:{port}"}
    held = server.folder / "state" / "auth.ini"
    assert stat.S_IMODE(held.stat().st_mode) == 0o600
    arguments = b"".join(Path(f"/proc/{server.process.pid}/cmdline").read_bytes().split(b"\0"))
    assert b"secret" not in arguments
    assert ADMIN.encode() not in arguments


def test_an_added_user_logs_in_and_writes_into_an_experiment_of_others(
    server, login, logged, tmp_path, monkeypatch
):
    script = [sys.executable, ROOT / "deploy" / "server" / "add_user.py", "ada"]
    settings = {**os.environ, "MLFLOW_TRACKING_URI": server.uri, "RAYDD_NEW_PASSWORD": "ada's own password"}
    done = subprocess.run(script, env=settings, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"ada can log in at {server.uri}\n"), done.stderr
    again = subprocess.run(script, env=settings, capture_output=True, text=True, timeout=120)
    assert again.returncode == 1
    assert "ada was not added" in again.stderr
    assert server.status("/", "ada", "ada's own password") == 200
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "ada's own password")
    log_study(server.uri, "adas", tmp_path)
    assert fetching.fetch(server.uri, f"{logged}/best").checked


def test_runs_lie_in_postgresql_and_artifacts_with_the_server(server, postgres, logged):
    rows = postgres.query("select count(*) from metrics where key = 'val_accuracy'", "mlflow")
    assert rows[0][0] >= 3
    places = {
        row[0]
        for row in postgres.query("select artifact_location from experiments where name = 'recipe'", "mlflow")
    }
    assert {place.partition(":")[0] for place in places} == {"mlflow-artifacts"}
    kept = list((server.folder / "artifacts").rglob("distilled.safetensors"))
    assert len(kept) >= 4


def test_two_studies_at_once_lose_nothing(studies):
    two = studies("two", studies=2, trials=2, steps=10)
    two.run(pause=0.01)
    two.check()
    assert two.stored() == two.points == 400


# -- raydd get ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "seed", "estimate"), [("best", 1, 0.75), ("0", 0, 0.5), ("winner", 9, 0.75), ("2", 2, 0.75)]
)
def test_a_set_is_fetched_with_who_made_it_and_what_is_known(server, login, logged, word, seed, estimate):
    found = fetching.fetch(server.uri, f"{logged}/{word}")
    assert found.distilled.manifest["seed"] == seed
    assert found.checked
    assert found.sha256 == hashlib.sha256(found.content).hexdigest()
    assert found.estimate == estimate
    assert found.confirmed == {"test_accuracy": 0.7, "low": 0.65, "high": 0.75}
    assert found.confirmed_trial == 1
    assert found.user not in ("", "unknown")


def test_the_command_writes_the_file_and_says_what_is_known(server, login, logged, tmp_path):
    out = tmp_path / "got.safetensors"
    arguments = ["get", f"{logged}/winner", "--tracking-uri", server.uri, "--out", str(out)]
    said = CliRunner().invoke(main, arguments)
    assert said.exit_code == 0, said.output
    assert DistilledSet.load(out).manifest["seed"] == 9
    assert out.with_suffix(".png").exists()
    assert "as it was uploaded" in said.stdout
    assert "hyperparameters: lr_img=0.5" in said.stdout
    assert "confirmed: 70.0 % [65.0, 75.0] on test data" in said.stdout
    again = CliRunner().invoke(main, arguments)
    assert (again.exit_code, again.stdout) == (2, "")
    other = CliRunner().invoke(main, ["get", f"{logged}/0", *arguments[2:], "--force", "--json"])
    assert json.loads(other.stdout)["trial"] == 0
    text = CliRunner().invoke(main, ["get", f"{logged}/0", *arguments[2:], "--force"]).stdout
    assert "search estimate: 50.0 % on validation data" in text
    assert "the confirmed winner is trial 1: 70.0 % [65.0, 75.0] on test data" in text


def test_a_file_that_was_changed_on_the_server_is_refused(server, login, tmp_path):
    log_study(server.uri, "changed", tmp_path, confirmed=False)
    with Tracker.reading(server.uri) as client:
        experiment = client.get_experiment_by_name("recipe").experiment_id
        where = "tags.`raydd.study` = 'changed' and tags.`raydd.trial` = '0'"
        run_id = client.search_runs([experiment], where)[0].info.run_id
        small_set(tmp_path / "distilled.safetensors", 77)
        client.log_artifact(run_id, str(tmp_path / "distilled.safetensors"), "distilled")
    with pytest.raises(ArtifactError, match="is not the one that was uploaded"):
        fetching.fetch(server.uri, "changed/0")
    with pytest.raises(StudyError, match="is not confirmed there yet"):
        fetching.fetch(server.uri, "changed/winner")


def test_what_is_not_there_is_said(server, login, logged):
    with pytest.raises(StudyError, match="there is no study 'nobodys'"):
        fetching.fetch(server.uri, "nobodys/best")
    with pytest.raises(StudyError, match="has no trial 7 there; it has 3 trials"):
        fetching.fetch(server.uri, f"{logged}/7")
    with pytest.raises(StudyError, match="must be a number, 'best', 'winner' or 'default'"):
        fetching.fetch(server.uri, f"{logged}/bets")


def test_a_wrong_password_is_said_with_the_remedy(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a wrong password")
    with pytest.raises(
        TrackingError, match="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    ) as refused:
        fetching.fetch(server.uri, "first/best")
    assert "a wrong password" not in str(refused.value)


def test_the_doctors_probe_passes_and_leaves_no_run(server, login, tmp_path):
    (check,) = store.tracking(server.uri, tmp_path)
    assert check.status in ("ok", "warning")
    assert "a run with a metric and an artifact was written, read and deleted" in check.found
    with Tracker.reading(server.uri) as client:
        experiment = client.get_experiment_by_name("raydd-doctor")
        assert client.search_runs([experiment.experiment_id]) == []
    assert not list((server.folder / "artifacts" / experiment.experiment_id).rglob("token.txt"))
