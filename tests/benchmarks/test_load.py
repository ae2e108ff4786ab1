from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.load import SLACK, Snapshot, busy_ticks, foreign_share, snapshot, tree_ticks

STAT = """\
cpu  900 90 90 9000 90 9 9 9 0 0
cpu0 100 10 20 5000 40 1 2 3 77 77
cpu1 200 20 30 4000 50 4 5 6 0 0
cpu10 7 0 0 1 0 0 0 0 0 0
intr 12345 0 1
"""


def process(pid: int, name: str, parent: int, *ticks: int) -> str:
    return f"{pid} ({name}) S {parent} 1 1 0 -1 4194304 5 6 7 8 {' '.join(map(str, ticks))} 20 0 1 0 99 1 2"


def test_busy_is_all_but_idle_and_waiting_on_our_cpus() -> None:
    assert busy_ticks(STAT, {0}) == 100 + 10 + 20 + 1 + 2 + 3
    assert busy_ticks(STAT, {0, 1}) == 136 + 265
    assert busy_ticks(STAT, {10}) == 7


def test_own_ticks_are_those_of_the_process_and_all_its_descendants() -> None:
    stats = [
        process(1, "init", 0, 1000, 1000, 1000, 1000),
        process(10, "python", 1, 1, 2, 4, 8),
        process(11, "a (strange) name", 10, 16, 32, 0, 0),
        process(12, "grandchild", 11, 64, 0, 0, 0),
        process(13, "somebody else", 1, 5000, 0, 0, 0),
    ]
    assert tree_ticks(stats, 10) == 1 + 2 + 4 + 8 + 16 + 32 + 64


def test_the_foreign_share_is_what_others_used_of_the_capacity() -> None:
    before = Snapshot(at=100.0, busy=50.0, own=20.0)
    after = Snapshot(at=110.0, busy=50.0 + 15.0 + SLACK, own=20.0 + 12.0)
    assert foreign_share(before, after, 2) == pytest.approx(3.0 / 20.0)
    assert foreign_share(before, Snapshot(110.0, 60.0, 31.0), 2) == 0.0
    assert foreign_share(before, Snapshot(110.0, None, 31.0), 2) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_work_of_ours_is_own_and_work_of_an_orphan_is_not() -> None:
    spin = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"
    before = snapshot()
    subprocess.run([sys.executable, "-c", spin], check=True)
    between = snapshot()
    assert between.own - before.own >= 0.35

    # The shell ends at once, so that its child becomes somebody else's.
    code = f"{spin}\nprint('spun')"
    with subprocess.Popen(
        ["sh", "-c", f'{sys.executable} -c "{code}" & exit 0'], stdout=subprocess.PIPE, text=True
    ) as shell:
        assert shell.stdout is not None
        assert shell.stdout.read() == "spun\n"
    after = snapshot()
    assert after.own - between.own < 0.3
    assert before.busy is not None
    assert between.busy is not None
    assert after.busy is not None
    assert after.busy - between.busy >= 0.3
