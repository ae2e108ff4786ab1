"""`make chaos`: what a study stands on goes away: its tracking server, its disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """An MLflow server on loopback, with one database whenever it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.folder / "kept")]
        settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **settings}, start_new_session=True
            )
        end = time.monotonic() + 180
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).read()
                return
            assert time.monotonic() < end, (self.folder / "server.log").read_text()
            time.sleep(0.5)

    def stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.start()
    yield made
    made.stop()


def test_the_tracking_server_is_away_for_half_a_minute(
    chaos: Callable[..., Any], wait_for: Callable[..., Any], lasting: Callable[[float], int], server: Server
) -> None:
    study = chaos("away", iterations=lasting(35.0), tracking__uri=server.uri)
    study.start()
    wait_for(lambda: study.reached(0, 0.3), what="the report of trial 0")
    server.stop()
    time.sleep(30)
    server.start()
    assert study.wait() == 0, study.tail()
    study.check()
    assert "warning" not in study.log.read_text()


def test_the_tracking_server_is_gone_for_good_and_comes_back_a_day_later(
    chaos: Callable[..., Any], wait_for: Callable[..., Any], lasting: Callable[[float], int], server: Server
) -> None:
    study = chaos("gone", iterations=lasting(25.0), tracking__uri=server.uri)
    study.start()
    wait_for(lambda: study.reached(0, 0.15), what="the report of trial 0")
    server.stop()
    assert study.wait() == 0, study.tail()
    assert study.study.report() is not None
    assert "warning: tracking:" in study.log.read_text()
    server.start()
    study.finish()
    study.check()


def test_what_the_server_lacks_is_brought_to_it_by_sync_once(
    chaos: Callable[..., Any], wait_for: Callable[..., Any], server: Server
) -> None:
    study = chaos("synced", iterations=1000, tracking__uri=server.uri)
    study.start()
    wait_for(lambda: not study.alive() or study.reported(0) >= 100, what="the report of trial 0")
    server.stop()
    assert study.wait() == 0, study.tail()
    sync = ["sync", "synced", "--home", str(study.study.home)]
    assert f"`raydd {' '.join(sync)}` brings to the tracking store what it lacks" in study.log.read_text()
    server.start()
    said = []
    for _ in range(2):
        command = [sys.executable, "-m", "raydd", *sync]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.splitlines()[-2])
        study.check()
    print(said)
    assert "; 0 metric values" not in said[0]
    assert said[1].endswith("4 trials; 0 metric values and 0 files were missing")
    study.start()
    assert study.wait() == 0
    assert "study synced is done: all 4 trials have ended and are confirmed" in study.tail(2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_the_disk_of_the_study_fills_up_and_is_freed(
    chaos: Callable[..., Any], wait_for: Callable[..., Any], lasting: Callable[[float], int], small_disk: Path
) -> None:
    study = chaos("full", home=small_disk / "home", iterations=lasting(35.0))
    study.start()
    wait_for(lambda: study.reached(0, 0.3), what="the report of trial 0")
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**16))
    assert shutil.disk_usage(small_disk).free < 2**16
    assert study.wait() == 75, study.tail()
    assert "the disk is full" in study.tail()
    ballast.unlink()
    study.finish()
    study.check()
