"""Grids: every combination of given values as a trial, and each as often as it is replicated."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raydd import jobs, wording
from raydd.errors import ConfigError, unknown
from raydd.tuning import labels
from raydd.tuning.searcher import Point

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raydd.config import SearchConfig
    from raydd.registry import Context, Method, Scalar

SOURCE = "grid"
REAL_SIDE = "belongs to the real side, which all trials share"


def combinations(grid: Mapping[str, Sequence[Scalar]]) -> list[dict[str, Scalar]]:
    """Every combination, in the order given, the last name's values changing fastest.

    >>> combinations({"a": [1, 2], "b": ["x", "y"]})[1]
    {'a': 1, 'b': 'y'}
    """
    return [dict(zip(grid, values)) for values in itertools.product(*grid.values())]


def points(
    method: Method,
    context: Context,
    search: SearchConfig,
    default: Point,
    complete: Callable[[Mapping[str, Scalar], str], dict[str, Scalar]],
) -> list[Point]:
    """Trial 0, then all combinations of a grid, then all of them once more for every further replicate.

    Trial 0 is the first replicate of the combination that it is, if it is one.

    Args:
        method, context: of the study.
        search: its `grid` and `replicates`.
        default: trial 0.
        complete: gives a setting, whose place is the second argument, trial 0's values for what it leaves open, and
            refuses what the method does not allow.

    Raises:
        ConfigError: a name that cannot differ between trials, or a value that the method does not allow.
    """
    for name, choices in search.grid.items():
        check_name(method, context, search, name, choices)
    settings = [
        complete(given, f"search.grid: {wording.hyperparameters(given)}")
        for given in combinations(search.grid)
    ]

    def whole(values: Mapping[str, Any]) -> dict[str, Any]:
        return jobs.resolve(method, context, {**context.fixed, **values}).model_dump()

    first = whole(default.values)
    found = [default]
    for replicate in range(search.replicates):
        for values in settings:
            if replicate or whole(values) != first:
                found.append(Point(values, SOURCE, replicate))
            else:  # written as its replicates are, so that they are found to be one setting
                found[0] = replace(default, values=values)
    return found


def check_name(
    method: Method, context: Context, search: SearchConfig, name: str, values: Sequence[Scalar]
) -> None:
    """Refuse a hyperparameter that all trials of a study must share.

    Raises:
        ConfigError: it is unknown, fixed, narrowed, part of the real side, or decides which networks are trained or
            whether labels are soft.
    """
    fields = method.hyperparameters.model_fields
    if name not in fields:
        raise ConfigError(f"search.grid: {unknown(f'hyperparameter of {method.name}', name, fields)}")
    for other, kept in (("fixed", search.fix), ("narrowed", search.range)):
        if name in kept:
            raise ConfigError(
                f"search.grid: {name} is {other} to {kept[name]!r} too; leave one of the two out"
            )
    if name in method.real_side:
        raise ConfigError(
            f"search.grid: {name} {REAL_SIDE}; a study for each of "
            f"{', '.join(map(wording.value, values))} can have it, with --fix"
        )
    for value in values:
        check_shared(method, context, {name: value}, "search.grid")


def check_shared(method: Method, context: Context, given: Mapping[str, Scalar], where: str) -> None:
    """Refuse a setting for one trial with another real side, other labels or other assets than its study's.

    Args:
        method, context: of the study.
        given: hyperparameters; values that the method does not allow are let through to its own check.
        where: they stand, for the sentence.

    Raises:
        ConfigError: what all trials share, and that another study can have it.
    """
    try:
        own = method.defaults(context).model_dump()
        fixing = replace(context, fixed={**context.fixed, **given})
        found = method.defaults(fixing).model_dump()
        needed, asked = method.assets(fixing), labels.regime(method, fixing)
    except Exception:  # whatever is wrong with the value, the method's own check says it better
        return
    said = wording.hyperparameters(given)
    for name in sorted(method.real_side & set(given)):
        if found.get(name) != own.get(name):
            raise ConfigError(
                f"{where}: {name} {REAL_SIDE} ({wording.value(own.get(name))}), got {wording.value(given[name])}; "
                "another study can have it, with --fix"
            )
    regime, made = labels.regime(method, context), method.assets(context)
    if asked != regime:
        raise ConfigError(
            f"{where}: {said} gives {asked} labels where the study has {regime} ones, "
            "and the two are never ranked together; another study can have it, with --fix"
        )
    if any(spec not in made for spec in needed):
        raise ConfigError(
            f"{where}: {said} decides which networks are trained before the search, and trials share them; "
            "another study can have it, with --fix"
        )


def check_trials(search: SearchConfig, found: Sequence[Point]) -> None:
    """Refuse another number of trials than the grid has.

    Args:
        search: as it was asked for.
        found: `points`.

    Raises:
        ConfigError: the number, and how many there are.
    """
    combined = len(combinations(search.grid)) * search.replicates
    if search.trials not in (combined, len(found)):
        raise ConfigError(
            f"search.trials: {search.trials} are asked for, and the grid has {len(found)} ({describe(search, found)}); "
            "leave it out"
        )


def describe(search: SearchConfig, found: Sequence[Point]) -> str:
    """What a grid's trials are: `rho x k: 3 x 3 settings, 2 replicates, and trial 0`."""
    combined = len(combinations(search.grid)) * search.replicates
    sizes = " x ".join(str(len(values)) for values in search.grid.values())
    text = f"{' x '.join(search.grid)}: {sizes} setting{'s' * (len(combinations(search.grid)) > 1)}"
    if search.replicates > 1:
        text += f", {search.replicates} replicates"
    return text + (", and trial 0" if len(found) > combined else ", trial 0 among them")
