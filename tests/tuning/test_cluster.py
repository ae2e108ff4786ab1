import contextlib
import errno
import http.client
import importlib.util
import json
import os
import subprocess
import sys
import time
import types
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

from raydd import config as configuration
from raydd.config import ResourcesConfig
from raydd.errors import ConfigError, StageFailed, StudyStopped
from raydd.tuning import cluster


def test_ray_client_addresses_are_refused_with_the_reason():
    with pytest.raises(ConfigError, match="'ray://head:10001' is a Ray Client address"):
        cluster.check(ResourcesConfig(address="ray://head:10001"))


def test_more_than_the_machine_has_is_refused_before_ray_starts():
    with pytest.raises(
        ConfigError, match=r"resources\.cpus_per_trial: 10000 are asked for, this machine has \d+"
    ):
        cluster.check(ResourcesConfig(cpus_per_trial=10000))


@pytest.mark.parametrize(
    ("device", "share", "sentence"),
    [
        ("cuda", 0.0, "'cuda' needs a share of a GPU for every trial"),
        ("cuda:7x", 0.0, "'cuda:7x' is not one of auto, cpu, cuda"),
        ("gpu", 0.0, "'gpu' is not one of auto, cpu, cuda"),
        ("cuda:1", 0.5, "'cuda:1' cannot be chosen"),
    ],
)
def test_a_device_that_trials_will_not_have_is_refused(device, share, sentence):
    with pytest.raises(ConfigError, match=sentence):
        cluster.check(ResourcesConfig(gpus_per_trial=share), device)


@pytest.mark.parametrize(
    ("address", "environment", "said"),
    [
        ("head", None, "resources.address: 'head' must be HOST:PORT of a Ray cluster's head, or auto"),
        ("http://head:6379", None, "resources.address: 'http://head:6379' must be HOST:PORT"),
        ("auto", "ray://head:10001", "RAY_ADDRESS: 'ray://head:10001' is a Ray Client address"),
        ("auto", "head", "RAY_ADDRESS: 'head' must be HOST:PORT"),
    ],
)
def test_other_addresses_are_refused(monkeypatch, address, environment, said):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    with pytest.raises(ConfigError) as caught:
        cluster.check(ResourcesConfig(address=address))
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("address", ["head-0.example:6379", "10.0.0.1:6379", "[::1]:6379", "auto"])
def test_the_addresses_of_clusters_are_allowed(monkeypatch, address):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cluster.check(ResourcesConfig(address=address, cpus_per_trial=10000))  # what a cluster has is seen there


def test_local_is_a_ray_on_this_machine():
    assert ResourcesConfig(address="local").address is None


def test_a_wheel_that_is_not_there_is_refused(tmp_path):
    wheel = tmp_path / "raydd.whl"
    with pytest.raises(ConfigError, match=r"resources\.code: there is no file .*pip wheel"):
        cluster.check(ResourcesConfig(code=str(wheel)))
    wheel.touch()
    cluster.check(ResourcesConfig(code=str(wheel)))


def test_a_wheel_travels_as_its_folders_with_the_one_of_its_entry_points(tmp_path):
    wheel = tmp_path / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("x/__init__.py", "x/inner/a.py", "x-1.dist-info/entry_points.txt"):
            archive.writestr(name, "")
    with cluster.unpacked(wheel) as folders:
        assert [Path(folder).name for folder in folders] == ["x", "x-1.dist-info"]
        assert (Path(folders[0]) / "inner" / "a.py").is_file()
    assert not Path(folders[0]).exists()
    wheel.write_text("no zip")
    with pytest.raises(ConfigError, match=r"x-1-py3-none-any\.whl cannot be read as a wheel"):
        with cluster.unpacked(wheel):
            pass


def test_a_cluster_that_holds_no_trial_is_said_at_once():
    with pytest.raises(StageFailed, match=r"it has 4 CPUs and 0 GPUs, and a trial takes 1 and 0\.5"):
        cluster.slots(FakeRay({"CPU": 4.0}), ResourcesConfig(gpus_per_trial=0.5))
    with pytest.raises(
        StageFailed, match=r"the largest of its 2 nodes have 4 CPUs and 1 GPUs, and .* 5 and 0"
    ):
        cluster.slots(FakeRay({"CPU": 4.0}, {"CPU": 2.0, "GPU": 1.0}), ResourcesConfig(cpus_per_trial=5))


def test_a_task_that_no_node_can_run_is_not_submitted():
    with pytest.raises(StageFailed, match="it has 2 CPUs and 0 GPUs, and a trial takes 64 and 0"):
        cluster.task_options(FakeRay({"CPU": 2.0}), ResourcesConfig(cpus_per_trial=64))


def failing(cause):
    """A Ray of which one task has failed, as `ray.get` raises it."""
    import ray

    def get(reference):
        raise ray.exceptions.RayTaskError("report", "Traceback", cause)

    return types.SimpleNamespace(get=get, exceptions=ray.exceptions)


def test_a_task_that_met_a_full_disk_stops_the_study_and_does_not_fail_it():
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(
        StudyStopped, match=r"report failed: the disk is full \(.*No space left.*\); free some"
    ):
        cluster.fetch(failing(full), None, "report failed")
    with pytest.raises(StageFailed, match=r"report failed: .*nothing"):
        cluster.fetch(failing(ValueError("nothing")), None, "report failed")


@pytest.mark.parametrize("given", [{}, {"RAY_AUTH_TOKEN": "0" * 64}, {"RAY_AUTH_TOKEN_PATH": "file"}])
def test_a_ray_of_ours_wants_a_token_also_where_only_the_token_is_set(given, tmp_path, monkeypatch):
    import ray

    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "file").write_text("1" * 64)
    for name, value in given.items():
        monkeypatch.setenv(name, str(tmp_path / value) if value == "file" else value)
    before = {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}
    with cluster._fresh_token():
        assert ray._raylet.get_authentication_mode() == ray._raylet.AuthenticationMode.TOKEN
        inside = {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}
        assert before.items() <= inside.items()
    assert {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")} == before


class FakeRay:
    """Only the nodes of a cluster; the arithmetic is what is tested."""

    def __init__(self, *resources):
        self.resources = resources

    def nodes(self):
        alive = [{"Alive": True, "Resources": each, "NodeManagerHostname": "n"} for each in self.resources]
        return [*alive, {"Alive": False, "Resources": {"CPU": 1e9, "GPU": 1e9}}]


@pytest.mark.parametrize(
    ("cpus", "gpus", "per_trial", "expected"),
    [
        (16, 4, (1, 1 / 3), 12),
        (16, 4, (2, 0.25), 8),
        (16, 4, (4, 2.0), 2),
        (8, 0, (3, 0.0), 2),
        (8, 1, (1, 0.3), 3),
    ],
)
def test_slots_are_what_cpus_and_shares_of_single_gpus_allow(cpus, gpus, per_trial, expected):
    resources = ResourcesConfig(cpus_per_trial=per_trial[0], gpus_per_trial=per_trial[1])
    assert cluster.slots(FakeRay({"CPU": float(cpus), "GPU": float(gpus)}), resources) == expected


def test_a_trial_takes_nothing_from_two_nodes():
    nodes = FakeRay({"CPU": 3.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}, {"CPU": 64.0}, {})
    assert cluster.slots(nodes, ResourcesConfig(cpus_per_trial=2)) == 1 + 0 + 32
    assert cluster.slots(nodes, ResourcesConfig(gpus_per_trial=0.5)) == 2 + 1
    config = configuration.build({"method": "iid", "resources": {"gpus_per_trial": 0.5, "address": "auto"}})
    assert cluster.placement(nodes, config, 3) == [
        "2 GPUs x 2 trials = 4 at once, of which the CPUs hold 3; 3 are run at once, 1 CPUs each",
        "2 nodes hold trials: n 2, n 1",
    ]


def listening_ports(pid):
    """TCP ports on which a process and all its children listen."""
    children, sockets = {pid}, set()
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    while grown := {child for child, parent in parents.items() if parent in children} - children:
        children |= grown
    for child in children:
        with contextlib.suppress(OSError):
            for link in (Path("/proc") / str(child) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    sockets.add(os.readlink(link))
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            cells = line.split()
            if cells[3] == "0A" and f"socket:[{cells[9]}]" in sockets:
                ports.add(int(cells[1].rpartition(":")[2], 16))
    return ports


def submitted(host, port, job, token=None):
    """HTTP status of a job that is handed in at a port, without a token if there is none; 0: nobody speaks HTTP."""
    best = 0
    for path in ("/api/job_agent/jobs/", "/api/jobs/"):
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(f"http://{host}:{port}{path}", data=job, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=3) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            best = error.code
        except (OSError, http.client.HTTPException):
            continue
    return best


@pytest.mark.integration
def test_a_ray_of_ours_lets_nobody_in_without_its_token(tmp_path):
    others = listening_ports(os.getpid())  # servers of other tests, which may want a login too
    with cluster.session(ResourcesConfig()) as ray:
        address = ray.get_runtime_context().gcs_address
        code = f"import ray; ray.init('{address}', log_to_driver=False); print('in', ray.cluster_resources())"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        outside = {**environment, "HOME": str(tmp_path)}
        stranger = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=outside
        )
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": os.environ["RAY_AUTH_TOKEN_PATH"]}
        friend = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            env={**outside, **token},
        )
        ports = listening_ports(os.getpid()) - others
        job = json.dumps({"entrypoint": f"touch {tmp_path / 'ran'}"}).encode()
        node_address = ray.util.get_node_ip_address()
        answers = {port: submitted(node_address, port, job) for port in ports}
        # Only with `ray[default]` does a node take jobs at all; then it takes those of whoever has the token.
        refused = [port for port, status in answers.items() if status in (401, 403)]
        secret = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()
        friendly = json.dumps({"entrypoint": f"touch {tmp_path / 'ran by a friend'}"}).encode()
        admitted = {port: submitted(node_address, port, friendly, secret) for port in refused}
        print(f"\njobs without the token: {answers}; with it: {admitted}")
        assert ray.get(ray.remote(lambda: 7).remote()) == 7
    assert len(ports) >= 3  # GCS, raylet, object manager at least
    assert not any(200 <= status < 300 for status in answers.values()), answers
    time.sleep(2)  # a job that was let in would have begun
    assert not (tmp_path / "ran").exists()
    assert refused
    assert (200 in admitted.values()) == (importlib.util.find_spec("opencensus") is not None)
    assert stranger.returncode != 0
    assert "in {" not in stranger.stdout
    assert "in {" in friend.stdout, friend.stderr
    assert "RAY_AUTH_TOKEN_PATH" not in os.environ


def test_a_process_whose_group_is_gone_goes_on_in_a_group_of_its_own(tmp_path):
    """As a search in the background of a shell that has ended: once it has left its group, there is no way back."""
    found = tmp_path / "groups"
    code = (
        "import os, pathlib, time\n"
        "leader = os.fork()\n"
        "if leader:\n"
        "    os.waitpid(leader, 0)\n"
        "    os._exit(0)\n"
        "os.setpgid(0, 0)\n"
        "leader = pathlib.Path(f'/proc/{os.getpid()}')\n"
        "if os.fork():\n"
        "    os._exit(0)\n"
        "while leader.exists():\n"
        "    time.sleep(0.01)\n"
        "from raydd.tuning.cluster import _group_of_its_own\n"
        "with _group_of_its_own():\n"
        "    inside = os.getpgrp()\n"
        "said = f'{inside == os.getpid()} {os.getpgrp() == os.getpid()}'\n"
        f"pathlib.Path({str(found)!r}).write_text(said)\n"
    )
    # The pipe closes when the last of them has ended.
    ended = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    assert found.read_text() == "True True", ended.stderr
