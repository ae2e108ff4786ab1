"""Beginning a search with what earlier studies of the same method have found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from raydd import jobs, wording
from raydd.errors import ConfigError, StudyError
from raydd.tuning.plan import Plan, own_point, plan_for
from raydd.tuning.studies import Study, complete

if TYPE_CHECKING:
    from raydd.registry import Scalar
    from raydd.tuning.studies import TrialRecord


def warm_started(plan: Plan, names: Sequence[str]) -> Plan:
    """The plan with the best settings of earlier studies among its points, and a note about each.

    At most a quarter of the trials, and at least one, are such settings. Of several studies one gives its best, then
    the next one its best, and so on: accuracies on other data, or of other sizes, cannot be ranked together.

    Args:
        plan: of a study that has not begun.
        names: studies of the same home and method.

    Raises:
        StudyError: one of them does not exist, has another method, or has no complete trial.
        ConfigError: there are more settings to begin with than trials, or the study is a grid.
    """
    if plan.config.search.sampler == "grid":
        raise ConfigError(
            f"--warm-start: a grid has its own settings and no others, got {', '.join(names)}; leave one of the two out"
        )
    studies = [Study.open(plan.config.home, name) for name in names]
    ranked = [best_trials(study, plan) for study in studies]
    notes = [note for study in studies for note in cautions(study, plan)]
    limit = max(1, plan.config.search.trials // 4)
    known = [_whole(plan, point.values) for point in plan.points]
    chosen: list[dict[str, Scalar]] = []
    for study, trial in filter(None, chain.from_iterable(zip_longest(*ranked))):
        if len(chosen) == limit:
            break
        values, problem = setting(trial, plan, study.name)
        if problem:
            notes.append(f"warm start: {problem}; it is left out")
        elif _whole(plan, values) not in known:
            known.append(_whole(plan, values))
            chosen.append(values)
            notes.append(
                f"warm start: trial {trial.number} of study {study.name} ({wording.percent(trial.val_accuracy)} % on "
                f"its validation images): {wording.hyperparameters(values)}"
            )
    if not chosen:
        notes.append(f"warm start: there is nothing in {', '.join(names)} that would not be run anyway")
    search = plan.config.search
    config = plan.config.replace(search={**search.model_dump(), "points": [*search.points, *chosen]})
    started = plan_for(config, plan.method, plan.data)
    return replace(started, why=plan.why, notes=[*started.notes, *notes])


def best_trials(study: Study, plan: Plan) -> list[tuple[Study, TrialRecord]]:
    """Complete trials of an earlier study by validation accuracy, best first.

    Raises:
        StudyError: it has another method, or no complete trial.
    """
    method = study.config.method
    if method != plan.method.name:
        raise StudyError(
            f"--warm-start: study {study.name!r} has searched {method!r}, whose hyperparameters mean nothing to "
            f"{plan.method.name!r}; name a study of {plan.method.name!r}"
        )
    ranked = complete(study.trials())
    if not ranked:
        raise StudyError(f"--warm-start: study {study.name!r} has no complete trial to start from")
    return [(study, trial) for trial in ranked]


def setting(trial: TrialRecord, plan: Plan, study: str) -> tuple[dict[str, Scalar], str]:
    """What an earlier trial's setting is in the new study, and what keeps it from being run, or nothing.

    Hyperparameters that the new study does not search, or has fixed, are left out; those that the earlier one had not
    are trial 0's.
    """
    searched = plan.space.hyperparameters()
    given = {name: value for name, value in trial.values.items() if name in searched}
    where = f"trial {trial.number} of study {study}"
    try:
        values = own_point(plan.method, plan.context, plan.space, given, where)
    except ConfigError as error:
        return {}, str(error)
    outside = plan.space.split_point(values)[1]
    if outside:
        return {}, f"{where}: {wording.hyperparameters(outside)} lies outside the narrowed range"
    return values, ""


def cautions(study: Study, plan: Plan) -> list[str]:
    """That what an earlier study was judged on may be test images of the new one, where that is so."""
    old, new = study.config.data, plan.config.data
    alike = (old.test_fraction, old.split_seed) == (new.test_fraction, new.split_seed)
    if old.name != new.name or alike or plan.data.split["test_fraction"] is None:
        return []
    return [
        f"warning: study {study.name} set other test images aside (data.test_fraction, data.split_seed): what it was "
        "judged on may be test images of this one, whose report will then be too high"
    ]


def _whole(plan: Plan, values: Mapping[str, Any]) -> dict[str, Any]:
    return jobs.resolve(plan.method, plan.context, {**plan.context.fixed, **values}).model_dump()
