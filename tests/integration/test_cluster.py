"""A study on a Ray cluster of three nodes, with GPUs that do not exist, under token authentication."""

import collections
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from raydd import config as configuration
from raydd.tuning import Study

pytestmark = pytest.mark.integration

TINY = {
    "iterations": 2,
    "ipc": 1,
    "search__scheduler": "none",
    "search__concurrency": None,
    "evaluation__epochs": 2,
    "evaluation__repeats": 1,
    "evaluation__device": "cpu",
    "confirm__baselines": [],
}


class Nodes:
    """Three nodes with 4 CPUs and a GPU each, and a driver's environment."""

    def __init__(self, folder):
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        self.environment = {
            **inherited,
            "HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_TMPDIR": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_register_timeout_seconds": "600",  # twelve workers begin at once
            "RAY_worker_niceness": "0",  # Ray's 15 would starve them on a machine that does other things too
        }
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("ray_nodes.py")), "3"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "nodes.log").open("w"),
            text=True,
            env=self.environment,
        )
        self.address = self.process.stdout.readline().strip()
        assert self.address, (folder / "nodes.log").read_text()

    def raydd(self, *arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "raydd", *arguments],
            capture_output=True,
            text=True,
            timeout=590,
            env={**self.environment, "RAY_ADDRESS": self.address, **environment},
        )

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def nodes():
    folder = Path(tempfile.mkdtemp(prefix="raydd-"))  # Ray's sockets need a short path
    nodes = Nodes(folder)
    yield nodes
    nodes.close()
    shutil.rmtree(folder, ignore_errors=True)


def written(path, config):
    path.write_text(configuration.dump_yaml(config))
    return str(path)


@pytest.mark.slow  # minutes on two cores
def test_twelve_trials_share_three_gpus_of_three_nodes(nodes, small, tmp_path):
    changes = {**TINY, "search__trials": 12, "resources__gpus_per_trial": 0.25, "resources__address": "auto"}
    config = small(tmp_path / "home", "wide", **changes)
    done = nodes.raydd("search", written(tmp_path / "study.yaml", config))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 GPUs x 4 trials = 12 at once; 12 are run at once, 1 CPUs each" in done.stdout
    assert "3 nodes hold trials: " in done.stdout
    study = Study(config.folder)
    assert [trial.outcome for trial in study.trials()] == ["complete"] * 12
    begun = [study.trial_files(number).begun(1) for number in range(12)]
    assert collections.Counter(facts["node"] for facts in begun).keys() - {""} == {
        facts["node"] for facts in begun
    }
    assert sorted(collections.Counter(facts["node"] for facts in begun).values()) == [4, 4, 4]
    assert not list(study.folder.glob(".probe-*"))
    assert not list(study.home.glob(".probe-*"))
    assert study.config.resources.address == "auto"


def test_more_than_any_node_holds_is_refused_before_anything_is_made(nodes, small, tmp_path):
    changes = {**TINY, "resources__gpus_per_trial": 2.0, "resources__address": nodes.address}
    config = small(tmp_path / "home", "large", **changes)
    refused = nodes.raydd("search", written(tmp_path / "study.yaml", config))
    assert refused.returncode == 2
    said = "no trial fits on this Ray: the largest of its 3 nodes have 4 CPUs and 1 GPUs, and a trial takes 1 and 2"
    assert f"error: resources: {said}" in refused.stderr
    assert not (tmp_path / "home").exists()


def can_hide_folders():
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(
    shutil.which("unshare") is None or not can_hide_folders(), reason="this user cannot make mount namespaces"
)
def test_a_node_that_does_not_see_the_home_is_named_before_anything_is_made(nodes, small, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    hidden = f"mount -t tmpfs none {home} && exec ray start --block --address {nodes.address}"
    size = "--num-cpus 1 --memory 1000000000 --object-store-memory 80000000"
    node = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", f"{hidden} {size}"],
        env=nodes.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        lines = iter(node.stdout.readline, "")
        assert any("Ray runtime started" in line for line in lines)
        config = small(home, "hidden", **TINY, resources__address=nodes.address)
        refused = nodes.raydd("search", written(tmp_path / "study.yaml", config))
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        node.wait(timeout=60)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    (said,) = refused.stderr.strip().splitlines()
    assert f"does not see what this process writes into {home}; name a folder that all nodes share" in said
    assert said.startswith("error: node ")
    assert list(home.iterdir()) == []


def test_an_address_where_nobody_answers_is_said_within_seconds(nodes, small, tmp_path):
    config = small(tmp_path / "home", "dead", **TINY, resources__address="127.0.0.1:1")
    begun = time.monotonic()
    refused = nodes.raydd("search", written(tmp_path / "study.yaml", config))
    assert refused.returncode == 2
    assert "resources: no Ray cluster answers at 127.0.0.1:1 (Connection refused)" in refused.stderr
    assert time.monotonic() - begun < 120  # Ray itself tries for minutes
    assert not (tmp_path / "home").exists()
