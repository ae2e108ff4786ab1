"""A study on a Ray cluster of three nodes, with GPUs that do not exist, under token authentication."""

import collections
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
        self.caches = folder / "caches"
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("ray_nodes.py")), "3", str(self.caches)],
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


def pictures(root):
    """A tree of images: 2 classes of 400 and 100 images, 3 x 32 x 32."""
    rng = np.random.default_rng(7)
    for part, count in (("train", 400), ("test", 100)):
        for class_ in ("cat", "dog"):
            (root / part / class_).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / class_ / f"{index}.png")
    return root


def mapped_pixels(pid):
    """The decoded images that a process has mapped: `(path, inode)` to its smaps figures in bytes."""
    found, figures = {}, {}
    with contextlib.suppress(OSError):  # it may end meanwhile
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            cells = line.split()
            if "-" in cells[0]:
                is_pixels = cells[-1].endswith("/pixels.npy")
                figures = found.setdefault((cells[-1], cells[4]), {}) if is_pixels else {}
            elif len(cells) == 3:
                figures[cells[0].rstrip(":")] = 1024 * int(cells[1])
    return found


class Watch(threading.Thread):
    """Looks again and again at what the workers of a study's trials have mapped, until it is told to end."""

    def __init__(self, study):
        super().__init__(daemon=True)
        self.study, self.over = study, threading.Event()
        self.seen = collections.defaultdict(dict)  # node, then process, to what it had mapped last

    def run(self):
        while not self.over.wait(0.2):
            for number in self.study.numbers():
                begun = self.study.trial_files(number).begun(1)
                mapped = mapped_pixels(begun["pid"]) if begun else {}
                if mapped:
                    self.seen[begun["node"]][begun["pid"]] = mapped


@pytest.mark.slow  # minutes on two cores
def test_twelve_trials_share_three_gpus_of_three_nodes_and_one_mapping_of_the_images_on_each(
    nodes, small, tmp_path
):
    changes = {**TINY, "search__trials": 12, "resources__gpus_per_trial": 0.25, "resources__address": "auto"}
    images = pictures(tmp_path / "pets")
    config = small(tmp_path / "home", "wide", **changes, data__name=str(images))
    study = Study(config.folder)
    watch = Watch(study)
    watch.start()
    try:
        own = str(nodes.caches / "driver")
        done = nodes.raydd("search", written(tmp_path / "study.yaml", config), RAYDD_CACHE=own)
    finally:
        watch.over.set()
        watch.join()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 GPUs x 4 trials = 12 at once; 12 are run at once, 1 CPUs each" in done.stdout
    assert "3 nodes hold trials: " in done.stdout
    assert [trial.outcome for trial in study.trials()] == ["complete"] * 12
    begun = [study.trial_files(number).begun(1) for number in range(12)]
    placed = collections.Counter(facts["node"] for facts in begun)
    assert sorted(placed.values()) == [4, 4, 4]
    assert not list(study.folder.glob(".probe-*"))
    assert not list(study.home.glob(".probe-*"))
    assert study.config.resources.address == "auto"

    print()
    inodes = set()
    for node, workers in watch.seen.items():
        mappings = {key for mapped in workers.values() for key in mapped}
        figures = [figure for mapped in workers.values() for figure in mapped.values()]
        sums = {name: sum(figure[name] for figure in figures) for name in ("Rss", "Private_Dirty")}
        ((path, inode),) = mappings  # decoded once, and the same file for all workers of the node
        print(
            f"node {node[:8]}: {placed[node]} trials in {len(workers)} processes, {len(mappings)} decoded file of "
            f"{Path(path).stat().st_size} bytes mapped, resident in all processes {sums['Rss']} bytes, "
            f"of which copies {sums['Private_Dirty']}"
        )
        assert len(workers) == 4
        assert sums["Rss"] > 0
        assert sums["Private_Dirty"] == 0
        store = Path(path).parent
        assert [found for found in store.parent.iterdir() if found.is_dir()] == [store]
        inodes.add(inode)
    assert len(inodes) == 3  # every node has decoded for itself


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
