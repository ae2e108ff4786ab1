"""A password in the tracking address is nowhere to be found after a study, and is asked for again."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

from raydd import config as configuration
from raydd.tuning import Study
from raydd.tuning.store_uri import ui_command

pytestmark = [pytest.mark.integration, pytest.mark.slow]  # a minute

SECRET = "geheim0815"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def ray_folder():
    """Where Ray keeps its session; its sockets need a short path."""
    folder = Path(tempfile.mkdtemp(prefix="raydd-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def server(tmp_path):
    """A real MLflow server; like any other, it takes a login that it does not ask for."""
    port, folder = free_port(), tmp_path / "server"
    folder.mkdir()
    command = ui_command(f"sqlite:///{folder / 'mlflow.db'}", port)
    process = subprocess.Popen(
        command, cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.5)
    yield port, folder
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=30)


def holding(folder, secret):
    """Files below `folder` in which the secret stands."""
    found = []
    for path in Path(folder).rglob("*"):
        if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes():
            found.append(path)
    return found


def test_a_password_of_the_tracking_store_is_saved_nowhere_and_asked_for_at_resume(
    server, ray_folder, small, tmp_path, command
):
    port, store = server
    config = small(tmp_path / "home", "quiet", iterations=3, search__trials=2, confirm__baselines=[])
    path, uri = tmp_path / "study.yaml", f"http://ada:{SECRET}@127.0.0.1:{port}"
    path.write_text(configuration.dump_yaml(config))
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
    environment = {**bare, "RAY_TMPDIR": str(ray_folder)}
    search = command("search", str(path), "--tracking-uri", uri)
    done = subprocess.run(search, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    study = Study(config.folder)
    assert study.config.tracking.uri == f"http://ada:***@127.0.0.1:{port}"
    assert holding(study.home, SECRET) == []
    assert holding(store, SECRET) == []

    resume = command("resume", "quiet", "--home", str(study.home), "--trials", "+1")
    refused = subprocess.run(resume, capture_output=True, text=True, timeout=600, env=environment)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert refused.stderr.strip() == (
        f"error: tracking.uri: the password of http://ada:***@127.0.0.1:{port} is not saved with the study; set "
        "MLFLOW_TRACKING_URI to this address with its password, or MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD"
    )
    told = {**environment, "MLFLOW_TRACKING_URI": uri}
    resumed = subprocess.run(resume, capture_output=True, text=True, timeout=600, env=told)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert len(study.trials()) == 3
    assert holding(study.home, SECRET) == []
    assert holding(store, SECRET) == []
    assert holding(ray_folder, SECRET) == []
