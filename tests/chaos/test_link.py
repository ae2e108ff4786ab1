"""A node whose link is cut: it works on to its next report, nobody hears of it, and its trial goes on elsewhere.

The node is a real one, in a network namespace of its own; its disk is shared, as a cluster's is.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from raydd import files
from raydd.storage.stop_sign import StopSign
from raydd.tuning import cluster as own
from trainables.run import TrialRun

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None, reason="a network namespace needs root and iproute2"
    ),
]

NEAR, FAR = "10.213.77.1", "10.213.77.2"
SMALL = {"object_store_memory": 10**8}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=30)


class Link:
    """A wire between this machine and a namespace."""

    def __init__(self) -> None:
        self.name = f"raydd{os.getpid() % 100000}"
        ip("netns", "add", self.name)
        ip("link", "add", f"{self.name}a", "type", "veth", "peer", "name", f"{self.name}b")
        ip("link", "set", f"{self.name}b", "netns", self.name)
        ip("addr", "add", f"{NEAR}/24", "dev", f"{self.name}a")
        ip("link", "set", f"{self.name}a", "up")
        ip("-n", self.name, "addr", "add", f"{FAR}/24", "dev", f"{self.name}b")
        ip("-n", self.name, "link", "set", f"{self.name}b", "up")
        ip("-n", self.name, "link", "set", "lo", "up")

    def cut(self) -> None:
        ip("link", "set", f"{self.name}a", "down")

    def mend(self) -> None:
        ip("link", "set", f"{self.name}a", "up")

    def processes(self) -> set[int]:
        """Those that run beyond it."""
        told = subprocess.run(["ip", "netns", "pids", self.name], check=True, capture_output=True, text=True)
        return {int(pid) for pid in told.stdout.split()}

    def remove(self) -> None:
        ip("link", "del", f"{self.name}a")
        ip("netns", "del", self.name)


@pytest.fixture
def link() -> Iterator[Link]:
    made = Link()
    yield made
    made.remove()


@pytest.fixture
def cluster(link: Link, tmp_path: Path, wait_for: Callable[..., Any]) -> Iterator[Any]:
    """A head that runs nothing, a near node and a far one, of one CPU each."""
    from ray.cluster_utils import Cluster

    with own._fresh_token():
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "node_ip_address": NEAR, "include_dashboard": False, **SMALL},
        )
        cluster.add_node(num_cpus=1, node_ip_address=NEAR, **SMALL)
        ray = Path(sys.executable).with_name("ray")
        flags = f"--address {cluster.address} --node-ip-address {FAR} --num-cpus 1 --block"
        command = ["ip", "netns", "exec", link.name, str(ray), "start", *flags.split()]
        with (tmp_path / "far.log").open("wb") as log:
            far = subprocess.Popen(
                [*command, "--object-store-memory", str(10**8)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            nodes = cluster.global_state.node_table
            wait_for(lambda: far.poll() is not None or len(nodes()) == 3, what="the far node")
            assert far.poll() is None, (tmp_path / "far.log").read_text()
            yield cluster
        finally:
            for pid in link.processes():
                os.kill(pid, signal.SIGKILL)
            far.wait(timeout=60)
            cluster.shutdown()


def far_trial(study: Any, link: Link) -> int | None:
    """The trial whose worker is beyond the link."""
    there = link.processes()
    return next((number for number, pid in study.workers().items() if pid in there), None)


def rows(study: Any, number: int, attempt: int) -> int:
    path = study.study.trial_files(number).attempt_folder(attempt) / "history.jsonl"
    return len(files.read_jsonl(path)) if path.exists() else 0


def losses(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name == "iteration" or name.startswith("loss/")}


def test_a_trial_beyond_a_cut_link_goes_on_here_and_the_one_out_there_leaves(
    chaos: Callable[..., Any], wait_for: Callable[..., Any], link: Link, cluster: Any, tmp_path: Path
) -> None:
    study = chaos("link", resources__address=cluster.address, search__trials=2, iterations=20000)
    study.start()
    wait_for(lambda: not study.alive() or far_trial(study, link) is not None, what="a trial on the far node")
    number = far_trial(study, link)
    assert number is not None, study.tail()
    trial = study.study.trial_files(number)
    first = trial.attempts()[-1]
    wait_for(lambda: rows(study, number, first) >= 3, what="the third report of the far trial")
    heard = rows(study, number, first)
    link.cut()
    cluster.add_node(num_cpus=1, node_ip_address=NEAR, **SMALL)  # the other one is at work
    wait_for(
        lambda: not study.alive() or (trial.attempts()[-1] > first and trial.begun(trial.attempts()[-1])),
        what="another attempt",
    )
    wait_for(lambda: far_trial(study, link) is None, what="the end of the attempt that was cut off")
    alone = rows(study, number, first) - heard
    link.mend()
    wait_for(
        lambda: not study.alive() or rows(study, number, first + 1) >= 2, what="reports of the other one"
    )
    assert study.kill(signal.SIGTERM) == 75, study.tail()
    told = study.study.history(number)
    print(f"\nlink: {heard} reports before the cut, {alone} behind it, {len(told)} count")
    assert alone in (0, 1)  # it is asked for every report, and nobody could ask for another
    assert [row["iteration"] for row in told] == sorted({row["iteration"] for row in told})
    StopSign(study.study.folder).take_down()
    again = TrialRun(study.study.folder, number, folder=tmp_path / "again")
    for row in told:
        assert losses(again.next_report()) == losses(row), f"iteration {row['iteration']}"
