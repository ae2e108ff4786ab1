"""Foreign load: CPU time that was used on our cores by processes that are not ours, and time that the host stole."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import allowed_cpus, cores

PROC = Path("/proc")
SLACK = 0.05
"""CPU seconds of a round that are forgiven: the kernel counts in hundredths, for every core on its own."""


@dataclass(frozen=True)
class Snapshot:
    """CPU seconds so far.

    Attributes:
        at: wall clock, in seconds.
        busy: used on our cores by anybody, stolen time included; None where the system does not say.
        own: used by this process and its descendants.
    """

    at: float
    busy: float | None
    own: float


def snapshot() -> Snapshot:
    """The counters now."""
    ticks = os.sysconf("SC_CLK_TCK")
    try:
        busy = busy_ticks((PROC / "stat").read_text(errors="replace"), allowed_cpus()) / ticks
    except OSError:
        return Snapshot(time.perf_counter(), None, 0.0)
    return Snapshot(time.perf_counter(), busy, tree_ticks(_process_stats(), os.getpid()) / ticks)


def foreign_share(before: Snapshot, after: Snapshot, count: int | None = None) -> float | None:
    """Share of the capacity of our cores that others had between two snapshots, in [0, 1]; None if unknown.

    Args:
        before, after: the two.
        count: number of our cores; None asks the system.
    """
    if before.busy is None or after.busy is None:
        return None
    foreign = (after.busy - before.busy) - (after.own - before.own) - SLACK
    capacity = (after.at - before.at) * (count or cores())
    return min(1.0, max(0.0, foreign / capacity)) if capacity > 0 else 0.0


def busy_ticks(stat: str, cpus: Collection[int]) -> int:
    """Clock ticks that `cpus` were not idle, from the text of /proc/stat."""
    busy = 0
    for line in stat.splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cpus:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            busy += user + nice + system + irq + softirq + steal
    return busy


def tree_ticks(stats: Iterable[str], root: int) -> int:
    """Clock ticks of process `root` and its descendants, finished ones included, from their /proc/PID/stat."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for stat in stats:
        # The name in brackets may hold spaces and brackets of its own.
        head, _, tail = stat.rpartition(")")
        pid, fields = int(head.split()[0]), tail.split()
        parents[pid] = int(fields[1])
        ticks[pid] = sum(map(int, fields[11:15]))

    def is_ours(pid: int) -> bool:
        while pid != root:
            if pid not in parents:
                return False
            pid = parents[pid]
        return True

    return sum(used for pid, used in ticks.items() if is_ours(pid))


def _process_stats() -> Iterator[str]:
    for path in PROC.glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            yield path.read_text()
