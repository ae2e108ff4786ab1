"""Files that nodes send themselves, on a real Ray and a real server; and what happens where a node may not."""

import http.server
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request

import pytest

from raydd.config import ResourcesConfig
from raydd.tuning import cluster
from raydd.tuning.carrying import FAILURES, NodeCarrier, carried
from raydd.tuning.store_uri import ui_command
from raydd.tuning.tracking import Tracker

pytestmark = pytest.mark.slow


class Refusing(http.server.BaseHTTPRequestHandler):
    """Lets nobody in."""

    def do_GET(self):
        self.send_error(401)

    do_PUT = do_POST = do_GET

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def ray():
    with cluster.session(ResourcesConfig()) as connected:
        yield connected


@pytest.fixture
def refusing():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def server(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ui_command(f"sqlite:///{tmp_path / 'server.db'}", port)
    command += ["--artifacts-destination", str(tmp_path / "kept")]
    process = subprocess.Popen(
        command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=30)


def node(ray):
    return ray.get_runtime_context().get_node_id()


def test_a_node_that_is_refused_says_why_and_is_not_asked_for_ever(ray, refusing, tmp_path):
    carrier = NodeCarrier(ray, refusing)
    file = tmp_path / "grid.png"
    file.write_bytes(b"x")
    assert carrier.take("run", {"grid.png": file}, "") is None
    for _ in range(FAILURES):
        ticket = carrier.take("run", {"grid.png": file}, node(ray))
        assert "401" in carrier.failed(ticket, 120)
    assert carrier.take("run", {"grid.png": file}, node(ray)) is None


def test_files_of_trials_come_from_their_nodes_and_the_driver_sends_those_of_the_study(ray, server, tmp_path):
    Tracker.preflight(server, "carried", None)
    tracker = Tracker(server, "carried", artifact_root=None)
    file = tmp_path / "grid.png"
    file.write_bytes(b"pixels")
    tracker.open_study("s", params={}, tags={}, description="", dataset={})
    with carried(tracker, ray, server):
        tracker.open_trial(0, params={}, tags={})
        tracker.trial_artifacts(0, {"distilled/grid.png": file}, node(ray))
        tracker.trial_artifacts(0, {"previews/000000.png": file}, "0" * 56)  # a node that is gone
        tracker.close_trial(0, "complete")
        tracker.study_artifacts({"contact_sheet.png": file})
        assert tracker.flush(180)
    tracker.close_study()
    tracker.close()
    assert tracker.problems == []
    kept = sorted(
        path.relative_to(tmp_path / "kept").parts[3:] for path in (tmp_path / "kept").rglob("*.png")
    )
    assert kept == [("contact_sheet.png",), ("distilled", "grid.png"), ("previews", "000000.png")]
