"""Real worker processes: what they answer, and what becomes of those that fail."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import cases, report
from benchmarks.case import Case
from benchmarks.process import WorkerFailed, WorkerProcess
from benchmarks.run import measure

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)
tiny = importlib.import_module("tiny_benchmark_cases")
sys.path.remove(HERE)
SLEEPING, BROKEN = tiny.CASES


@pytest.fixture(autouse=True)
def _workers_find_the_tiny_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", HERE)


def start(case: Case, side: str, **settings: Any) -> dict[str, Any]:
    return {
        "module": case.module,
        "case": case.name,
        "side": side,
        "settings": settings,
        "warmups": 2,
        "count_flops": True,
    }


def test_a_worker_warms_up_and_times_the_work_alone() -> None:
    with WorkerProcess() as worker:
        ready = worker.ask("start", **start(SLEEPING, "fast", factor=3.0, preparing=0.3))
        assert ready["values"] == {"value": pytest.approx(6.00003)}
        assert ready["flops"] == {"real": 3.0, "synthetic": 1.0}
        assert ready["threads"] is None
        assert ready["units"] == 2
        assert len(ready["warmup_seconds"]) == 2
        answer = worker.ask("run")
        assert 2 * tiny.FAST <= answer["ended"] - answer["began"] < 2 * tiny.FAST + 0.2
        assert 4e6 < worker.ask("end")["memory"] < 4e8


def test_what_libraries_print_does_not_reach_the_answers() -> None:
    with WorkerProcess() as worker:
        worker.ask("start", **start(SLEEPING, "fast"))
        worker.ask("run")
        assert worker.log().count("a library prints this") == 3


def test_an_exception_comes_back_as_one_line() -> None:
    with WorkerProcess() as worker:
        with pytest.raises(WorkerFailed, match=r"^ValueError: no such thing$"):
            worker.ask("start", **start(BROKEN, "failing"))
        assert "Traceback" in worker.log()


def test_a_worker_that_dies_is_noticed() -> None:
    with WorkerProcess() as worker, pytest.raises(WorkerFailed, match="died with exit code 9"):
        worker.ask("start", **start(BROKEN, "dying"))


def test_a_worker_leaves_no_files_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    case = cases.found()["data-open"]
    with WorkerProcess() as worker:
        worker.ask("start", **start(case, "reference", **{**case.quick, "per_class": 2}))
        assert list(tmp_path.glob("*/images/train/class9/0001.jpg"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_threads_and_allocator_of_a_side_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.mmap_max=0")
    monkeypatch.setenv("RAYDD_CACHE", "/kept")
    with WorkerProcess(TORCHINDUCTOR_CACHE_DIR="/fresh") as worker:
        worker.ask("start", **start(SLEEPING, "fast"))
        environment = Path(f"/proc/{worker.pid}/environ").read_text().split("\0")
    assert "TORCHINDUCTOR_CACHE_DIR=/fresh" in environment
    names = {entry.partition("=")[0] for entry in environment}
    assert "RAYDD_CACHE" in names
    assert not names & {"OMP_NUM_THREADS", "GLIBC_TUNABLES"}


def test_a_case_is_measured_in_paired_rounds() -> None:
    lines: list[str] = []
    result = measure(SLEEPING, SLEEPING.quick, quick=True, rounds=2, progress=lines.append)
    assert lines[:3] == [
        "sleeping: preparing reference",
        "sleeping: preparing fast",
        "sleeping: round 1 of 2",
    ]
    assert 2 <= len(result.rounds) <= 3
    assert len(result.kept) == 2
    for round_ in result.rounds:
        assert tiny.SLOW <= round_.seconds["reference"] < tiny.SLOW + 0.1
        assert tiny.FAST <= round_.seconds["fast"] < tiny.FAST + 0.1
    assert not result.failed
    assert [side.difference for side in result.sides] == [None, pytest.approx(5e-6)]


def test_two_processes_of_a_side_work_at_the_same_time_and_a_wrong_side_fails_the_case() -> None:
    result = measure(SLEEPING, SLEEPING.full, quick=False, rounds=1)
    assert {side.name for side in result.sides} == {"reference", "fast", "wrong", "two"}
    seconds = result.kept[0].seconds
    assert seconds["two"] == pytest.approx(seconds["reference"] / 2, rel=0.4)
    memory = {side.name: side.memory for side in result.sides}
    assert memory["two"] > 1.5 * memory["reference"]
    assert result.failed
    assert [line for line in result.warnings() if "differ" in line] == [
        "sleeping, wrong: computes something else than the reference, its values differ by 2.5e-01 "
        "(allowed: 1e-05)"
    ]


def test_a_side_that_fails_is_told_and_the_others_are_measured() -> None:
    result = measure(BROKEN, BROKEN.full, quick=True, rounds=2)
    problems = {side.name: side.problem for side in result.sides}
    assert problems["reference"] is None
    assert problems["sound"] is None
    assert problems["failing"] == "ValueError: no such thing"
    assert "died with exit code 9" in problems["dying"]
    assert result.failed
    assert all(set(round_.seconds) == {"reference", "sound"} for round_ in result.rounds)
    text = report.markdown(report.document([result], {"python": "3"}, quick=True))
    assert "|  | failing | not measured | - | - | - | - | - |" in text
    assert "broken, failing: ValueError: no such thing" in text
