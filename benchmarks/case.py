"""What a case is: a reference, our sides of the same work, its FLOPs, and a quick and a full size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Settings = Mapping[str, Any]

REFERENCE = "reference"


class Work:
    """A piece of work that one process does again and again.

    Attributes:
        units: how many of the case's units one `run` does; its seconds are divided by it.
    """

    units: int = 1

    def prepare(self) -> None:
        """What has to happen before every run and is not timed."""

    def run(self) -> None:
        """The work; this alone is timed."""
        raise NotImplementedError

    def values(self) -> dict[str, float]:
        """What the last run computed, to be compared between the sides; not timed."""
        return {}


@dataclass(frozen=True)
class Side:
    """One way of doing a case's work.

    Attributes:
        name: what the table calls it.
        make: builds the work in the process that will do it, threads and allocator included.
        precision: `fp32`; `mixed`, everything but the part `synthetic` in bf16; or `bf16`.
        skips: parts of the case's FLOPs that this side does not compute.
        rtol: how far its values may lie from the reference's, relative; what is further is reported.
        processes: how many processes do the work at the same time.
        quick: whether quick runs measure it.
    """

    name: str
    make: Callable[[Settings], Work]
    precision: str = "fp32"
    skips: frozenset[str] = frozenset()
    rtol: float = 1e-5
    processes: int = 1
    quick: bool = True

    def precision_of(self, part: str) -> str:
        """`fp32` or `bf16`: in what `part` of the FLOPs is computed."""
        if self.precision == "mixed":
            return "fp32" if part == "synthetic" else "bf16"
        return self.precision


@dataclass(frozen=True)
class Case:
    """Something that is measured.

    Attributes:
        name: as `--only` takes it.
        module: the module that defines it, `__name__`; workers import it.
        title: one line for people.
        unit: what the seconds are of, such as `step`.
        sides: the reference first, then ours; names are unique.
        full, quick: settings of the two sizes, JSON-able. `data`, a folder of images or None, is added.
        flops: FLOPs of one unit by part, counted on the reference procedure; called in a worker.
        warmups: runs of each side before the first that counts; compilation happens there.
    """

    name: str
    module: str
    title: str
    unit: str
    sides: tuple[Side, ...]
    full: Settings
    quick: Settings
    flops: Callable[[Settings], Mapping[str, float]] | None = None
    warmups: int = 2

    @property
    def reference(self) -> Side:
        """What the others are compared with."""
        return self.sides[0]

    def side(self, name: str) -> Side:
        """The side called `name`."""
        return next(side for side in self.sides if side.name == name)

    def chosen(self, quick: bool) -> list[Side]:
        """The sides that a quick or a full run measures."""
        return [side for side in self.sides if side.quick or not quick]
