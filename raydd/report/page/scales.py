"""`Scale`: where a hyperparameter's value lies on an axis, whatever its kind, and how the axis is labelled."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raydd import wording

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

WIDE = 30.0  # ratio of the largest value to the smallest beyond which an unknown scale is taken to be logarithmic
CHOICES = 12  # categories that an axis names


@dataclass(frozen=True)
class Scale:
    """An axis of one hyperparameter.

    Attributes:
        name: of the hyperparameter.
        kind: `log`, `linear` or `choice`.
        low, high: ends of the axis, for numbers.
        choices: for categories, in order, as text.
        whole: whether all values are whole numbers.
    """

    name: str
    kind: str
    low: float = 0.0
    high: float = 1.0
    choices: tuple[str, ...] = ()
    whole: bool = False

    def place(self, value: Any) -> float | None:
        """Where `value` lies, 0 and 1 being the ends; None where it lies nowhere on this axis."""
        if self.kind == "choice":
            text = wording.value(value)
            if text not in self.choices:
                return None
            return (self.choices.index(text) + 0.5) / len(self.choices)
        if not _is_number(value):
            return None
        low, high, here = self.low, self.high, float(value)
        if self.kind == "log":
            low, high, here = math.log(low), math.log(high), math.log(here)
        return 0.5 if high == low else (here - low) / (high - low)

    def value(self, place: float) -> float:
        """The number at `place`; the inverse of `place` for axes of numbers."""
        if self.kind == "log":
            return math.exp(math.log(self.low) + place * (math.log(self.high) - math.log(self.low)))
        return self.low + place * (self.high - self.low)

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """(place, label) of round numbers, about `most` of them; every category has one."""
        if self.kind == "choice":
            return [((index + 0.5) / len(self.choices), text) for index, text in enumerate(self.choices)]
        if self.low == self.high:
            return [(0.5, number(self.low))]
        values = _decades(self.low, self.high, most) if self.kind == "log" else []
        values = values or round_steps(self.low, self.high, most)
        if self.whole:
            values = [value for value in values if value == round(value)] or [self.low, self.high]
        return [(place, number(value)) for value in values if (place := self.place(value)) is not None]


def number(value: float) -> str:
    """A tick's label: `0.001`, `1e-5`, `20`."""
    return re.sub(r"e([-+])0", r"e\1", f"{value:.4g}").replace("e+", "e")


def _decades(low: float, high: float, most: int) -> list[float]:
    """Powers of ten from `low` to `high`, every second or third where there are many; with 2 and 5 where few."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = list(range(first, last + 1))
    if len(powers) >= 3:
        return [10.0**power for power in powers[:: -(-len(powers) // most)]]
    found = [digit * 10.0**power for power in range(first - 1, last + 1) for digit in (1, 2, 5)]
    inside = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    return inside if len(inside) >= 2 else []


def round_steps(low: float, high: float, most: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`."""
    raw = (high - low) / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * digit for digit in (1, 2, 5, 10) if size * digit >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def scales(
    settings: Sequence[Mapping[str, Any]], distributions: Mapping[str, BaseDistribution]
) -> dict[str, Scale]:
    """An axis for every hyperparameter that some setting has, by name.

    Args:
        settings: hyperparameters of the trials, searched names only.
        distributions: by name, where the search has drawn it under that name. An axis spans what was drawn from
            and what was tried, which a published setting may lie outside of.
    """
    names = sorted({name for setting in settings for name in setting})
    return {
        name: scale(name, [setting[name] for setting in settings if name in setting], distributions.get(name))
        for name in names
    }


def scale(name: str, values: Iterable[Any], distribution: BaseDistribution | None = None) -> Scale:
    """The axis for `values` of one hyperparameter."""
    values = list(values)
    choices = list(getattr(distribution, "choices", ()))
    if choices or not all(_is_number(value) for value in values):
        known = sorted(values, key=str) if not choices else [*choices, *sorted(values, key=str)]
        return Scale(name, "choice", choices=tuple(dict.fromkeys(wording.value(value) for value in known)))
    numbers = [float(value) for value in values]
    if distribution is not None:
        numbers += [
            float(getattr(distribution, "low", numbers[0])),
            float(getattr(distribution, "high", numbers[0])),
        ]
    low, high = min(numbers), max(numbers)
    whole = all(isinstance(value, int) for value in values)
    log = bool(getattr(distribution, "log", not whole and low > 0.0 and high / low >= WIDE))
    return Scale(name, "log" if log and low > 0.0 else "linear", low, high, whole=whole)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
