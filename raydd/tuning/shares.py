"""How many trials a machine holds at once, and which share of a GPU one of them needs."""

from __future__ import annotations

import math
import os
from pathlib import Path

from raydd import devices
from raydd.config import StudyConfig
from raydd.tuning import cluster

HEADROOM = (
    1.1  # what a trial may take beyond its measured peak: fragments, and settings that need a little more
)
RAY_STEPS = 10_000  # Ray counts shares in ten-thousandths

MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def gpu_share(peak: int, memory: int, *, cpus: int, gpus: int = 1, wanted: int | None = None) -> float:
    """The smallest share 1/n of a GPU that holds a trial, n being as many as there is any use for.

    Args:
        peak: memory that a trial reserved at the most, in bytes, > 0.
        memory: of one GPU, in bytes.
        cpus: trials at once that the CPUs allow, >= 1.
        gpus: of the machine, >= 1; trials are spread over all of them.
        wanted: trials at once that are asked for; None is as many as fit.

    Returns:
        1/n, rounded down to what Ray can count, in (0, 1].
    """
    held = int(memory // (peak * HEADROOM))
    of_use = cpus if wanted is None else min(cpus, wanted)
    n = max(1, min(held, -(-of_use // gpus)))
    return math.floor(RAY_STEPS / n) / RAY_STEPS


def slots(config: StudyConfig, gpus: int) -> int:
    """Trials that run side by side on this machine by CPUs and GPUs, >= 1, whatever is asked for.

    Args:
        config: of the study; its share of a GPU is a number.
        gpus: of this machine.
    """
    here = {"Resources": {"CPU": devices.available_cpus(), "GPU": gpus}}
    return max(1, cluster.room(here, config.resources))


def machine_memory() -> int:
    """Main memory that processes here may take together, in bytes: the machine's, or its container's limit."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in MEMORY_LIMITS:
        try:
            found.append(int(path.read_text()))
        except (OSError, ValueError):  # no such limit; `max` is no number
            continue
    return min(found)
