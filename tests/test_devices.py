from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from raydd import devices
from raydd.devices import Compute
from raydd.errors import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("line", "cpus"), [("150000 100000", 2), ("100000 100000", 1), ("50000 100000", 1), ("400000 100000", 4)]
)
def test_a_containers_quota_is_rounded_up_to_whole_cpus(tmp_path: Path, line: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(line + "\n")
    assert devices._quota(tmp_path / "cpu.max") == cpus


@pytest.mark.parametrize(
    ("asked", "threads"), [("1", 1), ("2,1", 2), ("64", 3), ("0", 1), ("", 3), ("many", 3)]
)
def test_a_process_alone_takes_the_threads_that_the_user_asks_for(
    asked: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "available_cpus", lambda: 3)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert devices.threads_alone() == threads
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert devices.threads_alone() == 3


@pytest.mark.parametrize("line", ["max 100000", "", "nonsense"])
def test_no_quota_is_no_limit(tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text(line)
    monkeypatch.setattr(devices, "CPU_QUOTA", tmp_path / "cpu.max")
    assert devices.available_cpus() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(devices, "CPU_QUOTA", tmp_path / "missing")
    assert devices.available_cpus() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_waiting_threads_spin_shortly_unless_the_user_says_otherwise(
    given: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    devices.prepare_environment()
    found = os.environ.get("GOMP_SPINCOUNT")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)  # so that monkeypatch puts back what was there before
    assert found == expected


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_a_prepared_process_keeps_the_pages_that_it_frees() -> None:
    code = """
import json, resource, torch
from raydd import devices
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def touch():
    before = faults()
    for _ in range(5): torch.ones(16 * 2**20)  # 64 MiB: glibc maps what is over 32 MiB anew, whatever it has learnt
    return faults() - before
def settled(): return [touch() for _ in range(4)][-1]
unprepared = settled()
devices.prepare_process(1)
print(json.dumps([unprepared, settled(), torch.get_num_threads()]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unprepared, prepared, threads = json.loads(done.stdout)
    assert threads == 1
    assert prepared < unprepared / 10


def test_facts_name_everything_that_bits_depend_on() -> None:
    facts = Compute(CPU, "mixed", compiled=True).facts()
    assert facts["precision"] == "mixed"
    assert facts["path"] == "compiled"
    assert facts["threads"] == torch.get_num_threads()
    assert facts["device"] == "cpu"
    assert set(facts) == {"torch", "device", "cpu_capability", "threads", "precision", "path"}
    assert Compute(CPU).facts()["path"] == "eager"


def test_an_unknown_precision_is_named() -> None:
    with pytest.raises(ConfigError, match=r"precision: unknown precision 'fp16'.*bf16"):
        Compute(CPU, "fp16")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "mps", ""])
def test_an_unknown_device_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=r"device: .* is not one of auto, cpu, cuda, cuda:N"):
        devices.resolve(name)
