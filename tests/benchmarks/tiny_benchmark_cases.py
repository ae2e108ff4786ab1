"""Cases without torch that show what the harness does with sides that work, differ, fail and die."""

from __future__ import annotations

import os
import time
from functools import partial

from benchmarks.case import REFERENCE, Case, Settings, Side, Work

SLOW, FAST = 0.06, 0.02


class Sleeping(Work):
    """Sleeps `seconds` for each of two units, prints to stdout, and finds `value`."""

    units = 2

    def __init__(self, seconds: float, value: float, settings: Settings) -> None:
        self.seconds, self.value, self.settings = seconds, value, settings

    def prepare(self) -> None:
        time.sleep(self.settings.get("preparing", 0.0))

    def run(self) -> None:
        print("a library prints this")
        time.sleep(self.seconds * self.units)

    def values(self) -> dict[str, float]:
        return {"value": self.value * self.settings.get("factor", 1.0)}


class Dying(Sleeping):
    """Is killed from within in its second run."""

    runs = 0

    def run(self) -> None:
        self.runs += 1
        if self.runs > 1:
            os._exit(9)
        super().run()


def failing(settings: Settings) -> Work:
    raise ValueError("no such\nthing")


def two_parts(settings: Settings) -> dict[str, float]:
    return {"real": 3.0, "synthetic": 1.0}


CASES = (
    Case(
        name="sleeping",
        module=__name__,
        title="sleep",
        unit="nap",
        sides=(
            Side(REFERENCE, partial(Sleeping, SLOW, 2.0)),
            Side("fast", partial(Sleeping, FAST, 2.00001)),
            Side("wrong", partial(Sleeping, FAST, 2.5), quick=False),
            Side("two", partial(Sleeping, SLOW, 2.0), processes=2, quick=False),
        ),
        full={"factor": 3.0},
        quick={},
        flops=two_parts,
        warmups=1,
    ),
    Case(
        name="broken",
        module=__name__,
        title="sides that fail",
        unit="nap",
        sides=(
            Side(REFERENCE, partial(Sleeping, FAST, 1.0)),
            Side("failing", failing),
            Side("dying", partial(Dying, FAST, 1.0)),
            Side("sound", partial(Sleeping, FAST, 1.0)),
        ),
        full={},
        quick={},
        warmups=1,
    ),
)
