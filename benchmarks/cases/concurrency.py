"""Two trials at the same time: the CPUs shared out, as raydd does, against torch's default threads in each.

All sides have raydd's allocator; the second also has its waiting threads sleep early, so that the third shows
what sharing out alone is worth.
"""

from __future__ import annotations

from functools import partial

from benchmarks.case import REFERENCE, Case, Settings, Side, Work
from benchmarks.cases import matching
from benchmarks.variants import VARIANTS
from raydd import devices

PROCESSES = 2


def _default_threads(settings: Settings) -> Work:
    import torch

    return matching.StepWork("iid", VARIANTS[0], False, torch.get_num_threads(), settings)


def _shared_threads(settings: Settings) -> Work:
    return matching.StepWork(
        "iid", VARIANTS[0], False, max(1, devices.available_cpus() // PROCESSES), settings
    )


CASES = (
    Case(
        name="concurrency",
        module=__name__,
        title="IID steps of two processes at the same time; the reference is ours with torch's default threads, "
        "all of which wait actively",
        unit="step",
        sides=(
            Side(REFERENCE, _default_threads, processes=PROCESSES),
            Side("all threads, waiting asleep", _default_threads, processes=PROCESSES, quick=False),
            Side("CPUs shared out", _shared_threads, processes=PROCESSES),
        ),
        full={**matching.FULL, "steps": 2},
        quick={**matching.QUICK, "steps": 2},
        flops=partial(matching.flops, "iid"),
        warmups=1,
    ),
)
