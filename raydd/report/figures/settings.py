"""Trials put together by their setting, which a figure has along its axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raydd import wording
from raydd.errors import StudyError
from raydd.evaluation import statistics
from raydd.report.figures.choice import Choice
from raydd.tuning.studies import Study, TrialRecord, complete

MOST_VALUES = 12  # of a hyperparameter on an axis: more were drawn at random, and no two trials share one


@dataclass(frozen=True)
class Setting:
    """The replicates of one setting.

    Attributes:
        values: hyperparameters.
        accuracies: validation accuracies, fractions, by trial number.
        mean, low, high: over replicates, with the 95 % t-interval, NaN for one.
        numbers: of the trials.
        replicates: which each of them is; equal ones of two settings have one seed.
    """

    values: Mapping[str, Any]
    accuracies: tuple[float, ...]
    mean: float
    low: float
    high: float
    numbers: tuple[int, ...]
    replicates: tuple[int, ...]


def settings_of(study: Study, choice: Choice) -> list[Setting]:
    """Complete trials of a study by their values, in the order of their first trial.

    Raises:
        StudyError: no trial is complete.
    """
    grouped: dict[str, list[TrialRecord]] = {}
    for record in sorted(complete(study.trials()), key=lambda one: one.number):
        if not choice.replicates or record.replicate in choice.replicates:
            grouped.setdefault(wording.hyperparameters(record.values), []).append(record)
    if not grouped:
        chosen = f" in replicate {', '.join(map(str, choice.replicates))}" if choice.replicates else ""
        raise StudyError(f"study {study.name!r} has no complete trial{chosen}: there is nothing to draw")
    found = []
    for records in grouped.values():
        accuracies = tuple(float(record.val_accuracy or 0.0) for record in records)
        over = statistics.interval(accuracies)
        numbers = tuple(record.number for record in records)
        which = tuple(record.replicate for record in records)
        found.append(Setting(records[0].values, accuracies, over.mean, over.low, over.high, numbers, which))
    return found


def value_of(study: Study, setting: Setting, name: str) -> Any:
    """A hyperparameter's value in a setting: its own, or trial 0's where it does not differ from the defaults."""
    return setting.values.get(name, study.trial(0).values.get(name))


def swept(study: Study, settings: Sequence[Setting], name: str) -> list[Any]:
    """Values of a hyperparameter, ascending: those of the study's grid where it is in it.

    Raises:
        StudyError: it is the same in all trials, or has another value in nearly every one.
    """
    grid = study.config.search.grid
    found = {value_of(study, setting, name) for setting in settings} - {None}
    if name in grid:
        found &= set(grid[name])
    if len(found) < 2:
        searched = ", ".join(sorted(study.trial(0).hyperparameters)) or "nothing"
        raise StudyError(
            f"study {study.name!r} has not swept {name!r}, which this figure needs; it has searched {searched}, "
            f"and `--grid {name}=a,b,c` sweeps it"
        )
    if len(found) > MOST_VALUES:
        raise StudyError(
            f"study {study.name!r} has {len(found)} values of {name!r}, and a figure over it takes at most "
            f"{MOST_VALUES}; `--grid {name}=a,b,c` sweeps it"
        )
    return sorted(found, key=lambda one: (isinstance(one, str), one))


def alone(study: Study, settings: Sequence[Setting], names: Sequence[str]) -> list[Setting]:
    """The settings that differ from trial 0 in `names` alone."""
    first = study.trial(0).values

    def others(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in {**first, **values}.items() if name not in names}

    return [one for one in settings if others(one.values) == others(first)]
