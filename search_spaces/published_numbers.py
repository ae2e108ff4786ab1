"""Accuracies that papers have published, from `published_numbers.csv` beside this file: what, where, and how sure.

A mean is top-1 % of test images, by the paper's own protocol, at its own budget and, nearly always, of sets that were
distilled from all training images. A `gain` is in points, over what `source` says.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONFIDENCES = ("read", "from memory", "derived")
"""Read where `source` says; remembered and not looked up again; computed from other numbers, as `source` says."""

KINDS = ("accuracy", "gain")


@dataclass(frozen=True)
class Number:
    """One published number.

    Attributes:
        dataset: catalog name.
        ipc: images per class; None where it holds for no one IPC (all training data, a paper's largest gain).
        method: name of raydd's method, or of one that raydd does not have, in lower case.
        when: hyperparameters that it takes for this to be the number, such as `factor` 1 for IDC-I.
        name: how papers call it.
        kind: `accuracy` or `gain`.
        network: that was trained on the set.
        labels: `hard` or `soft`.
        mean, spread: fractions (0.489 for 48.9 %); what stands behind +-, None where nothing does.
        source: where it stands.
        confidence: one of `CONFIDENCES`.
    """

    dataset: str
    ipc: int | None
    method: str
    when: Mapping[str, str]
    name: str
    kind: str
    network: str
    labels: str
    mean: float
    spread: float | None
    source: str
    confidence: str

    @property
    def text(self) -> str:
        """The number in percent, with its spread: `48.9 +- 0.6`; a gain as `next best + 4.0` or `base + 2.9`."""
        value = f"{100 * self.mean:.1f}"
        if self.kind == "gain":
            return f"{'next best' if 'next best' in self.source else 'base'} + {value}"
        return value if self.spread is None else f"{value} ± {100 * self.spread:.1f}"

    @property
    def caution(self) -> str:
        """`from memory` or `derived`, which stands wherever the number does; empty where it was read."""
        return "" if self.confidence == "read" else self.confidence


@functools.cache
def numbers() -> tuple[Number, ...]:
    """All of them, in the file's order."""
    with Path(__file__).with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        return tuple(_number(row) for row in csv.DictReader(file))


def find(
    method: str, dataset: str, ipc: int, values: Mapping[str, Any] | None = None, labels: str | None = None
) -> list[Number]:
    """What is published about a method on a dataset at an IPC, one number for each network, in the file's order.

    Args:
        method: name of it.
        dataset: catalog name.
        ipc: images per class.
        values: hyperparameters, which tell IDC-I from IDC and what IID stands on; those that say more win.
        labels: `hard` or `soft`; None takes both.
    """
    chosen = values or {}
    alike = [
        number
        for number in numbers()
        if (number.method, number.dataset, number.ipc) == (method, dataset, ipc)
        and labels in (None, number.labels)
        and all(str(chosen.get(name)) == value for name, value in number.when.items())
    ]
    most = max((len(number.when) for number in alike), default=0)
    return [number for number in alike if len(number.when) == most]


def _number(row: Mapping[str, str]) -> Number:
    conditions = [part.partition("=") for part in row["when"].split() if part]
    return Number(
        dataset=row["dataset"],
        ipc=int(row["ipc"]) if row["ipc"] else None,
        method=row["method"],
        when={name: value for name, _, value in conditions},
        name=row["name"],
        kind=row["kind"],
        network=row["network"],
        labels=row["labels"],
        mean=_fraction(row["mean"]),
        spread=_fraction(row["spread"]) if row["spread"] else None,
        source=row["source"],
        confidence=row["confidence"],
    )


def _fraction(percent: str) -> float:
    return round(float(percent) / 100, 6)
