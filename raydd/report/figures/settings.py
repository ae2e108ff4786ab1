"""Trials put together by their setting, which a figure has along its axes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raydd import files, wording
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

    A second trial of the same values and replicate has the same seed, and is left out: it is the same run again.

    Raises:
        StudyError: no trial is complete.
    """
    grouped: dict[str, list[TrialRecord]] = {}
    for record in sorted(complete(study.trials()), key=lambda one: one.number):
        if not choice.replicates or record.replicate in choice.replicates:
            own = grouped.setdefault(files.canonical_json(record.values), [])
            if all(one.replicate != record.replicate for one in own):
                own.append(record)
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


def alone(
    study: Study,
    settings: Sequence[Setting],
    axes: Mapping[str, Collection[Any]],
    aside: Collection[str] = (),
) -> list[Setting]:
    """The settings that differ from trial 0 in what is along a figure's axes alone.

    Args:
        study: whose settings they are.
        settings: to choose from.
        axes: values along each axis, by hyperparameter.
        aside: hyperparameters that do not count.

    Raises:
        StudyError: there are fewer than two; it names what else the study has swept.
    """
    first = study.trial(0).values
    whole = [{**first, **one.values} for one in settings]
    others = sorted({name for values in whole for name in values} - {*axes, *aside})
    found = [
        one
        for one, values in zip(settings, whole)
        if all(values.get(name) == first.get(name) for name in others)
        and all(values.get(name) in along for name, along in axes.items())
    ]
    if len(found) > 1:
        return found
    more = [name for name in others if any(values.get(name) != first.get(name) for values in whole)]
    of_0 = ", ".join(f"{name} = {wording.value(first[name])}" if name in first else name for name in more)
    raise StudyError(
        f"study {study.name!r} has {'one' if found else 'no'} complete setting along {' and '.join(axes)}"
        + (f" with trial 0's {of_0}, which it has swept too" if more else "")
        + "; this figure needs two"
    )
