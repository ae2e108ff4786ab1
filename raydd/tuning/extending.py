"""Asking a study for more than it was begun with: further trials, hours, and points of one's own.

What is asked for is appended to the study's `extensions.jsonl`. Whoever appends holds the file's lock from reading to
writing, so that of two who ask for one more trial each gets one.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raydd import config as configuration
from raydd import files, jobs, registry, wording
from raydd.config import StudyConfig
from raydd.data import load_data
from raydd.errors import ConfigError, RayddError, StudyError, StudyStopped
from raydd.tuning import frozen, grid
from raydd.tuning.budget import Budget
from raydd.tuning.commands import FLAGS, command, raised
from raydd.tuning.parent import tracking_uri
from raydd.tuning.plan import Plan, own_point, plan_for
from raydd.tuning.searcher import STATES
from raydd.tuning.stages import read_measured
from raydd.tuning.store_uri import sqlite_path

if TYPE_CHECKING:
    from raydd.registry import Scalar
    from raydd.tuning.studies import Study

LOCK = "extensions.lock"


@dataclass(frozen=True)
class More:
    """What a study is asked for; None leaves things as they are.

    Attributes:
        trials: new total (`40`), or so many more (`+10`).
        hours, gpu_hours: new total, or so many more than the present limit, or than what is used where that is more.
        patience: new value of `budget.patience`, >= 1.
        address: of the Ray cluster to go on with, HOST:PORT or `auto`; `local` is a Ray on this machine.
        replicates: new value of `search.replicates` of a grid.
    """

    trials: str | int | None = None
    hours: str | float | None = None
    gpu_hours: str | float | None = None
    patience: int | None = None
    address: str | None = None
    replicates: int | None = None


@dataclass(frozen=True)
class Added:
    """A point that was added.

    Attributes:
        number: of the trial that will run it.
        values: searched hyperparameters of that trial.
        searching: whether a driver is at work that will run it.
        confirming: whether a driver is at work that has ended the search, and will not.
    """

    number: int
    values: dict[str, Scalar]
    searching: bool
    confirming: bool

    def lines(self, study: Study) -> list[str]:
        """What becomes of it, for the person who added it."""
        said = [f"trial {self.number} will run next: {wording.hyperparameters(self.values)}"]
        settled = Budget(study).settled()
        command = again(study, flags="" if settled is None else "--patience P")
        if self.confirming:
            said.append(
                f"the driver of study {study.name} has ended the search already; {command} runs it afterwards"
            )
        elif not self.searching:
            said.append(f"study {study.name} is not running; {command} runs it")
        elif settled is not None:
            said.append(f"the search is about to end, because {settled}; {command} runs it afterwards")
        return said


@contextlib.contextmanager
def turn(study: Study) -> Iterator[None]:
    """Be the only one who asks for more; others wait."""
    with files.FileLock(study.folder / LOCK):
        yield


def planned(study: Study, config: StudyConfig, *, verify: bool = True) -> Plan:
    """The plan of an existing study from what it saved; needs no lock.

    Args:
        study: on disk.
        config: its configuration, with what is asked for.
        verify: whether every file of the data is looked at.

    Raises:
        RayddError: the data have changed, or the configuration cannot be run.
    """
    data = load_data(config.data, verify=verify)
    known = study.folder / "fingerprint.json"
    if known.exists() and files.read_json(known) != data.fingerprint:
        raise StudyError(
            f"study {study.name!r} was made from other data than {config.data.name} holds now; "
            "bring the old data back, or start a new study"
        )
    return plan_for(config, registry.get(config.method), data, read_measured(study))


def with_changes(config: StudyConfig, changed: Mapping[str, Any]) -> StudyConfig:
    """The configuration with fields changed, given by their paths."""
    values = config.model_dump()
    for path, value in changed.items():
        configuration.set_path(values, path, value)
    return configuration.build(values)


# -- trials, hours, patience ---------------------------------------------------------------------------------


def changes(study: Study, more: More) -> dict[str, Any]:
    """The fields that `more` changes, and their new values; {} where it asks for nothing new.

    Raises:
        ConfigError: a number of the wrong kind.
        StudyError: less than there is, or nothing that could be run.
    """
    config, budget = study.config, Budget(study)
    found: dict[str, Any] = {}
    if more.trials is not None:
        had, begun = config.search.trials, len(study.numbers())
        amount, further = _amount("--trials", more.trials, whole=True)
        total = had + int(amount) if further else int(amount)
        if config.search.sampler == "grid" and total != had:
            raise StudyError(
                f"--trials: study {study.name!r} is a grid, which draws nothing: {had} trials are all it has, got "
                f"{more.trials}; --replicates N runs each setting more often, `raydd add` a setting of your own"
            )
        if total < had:
            raise StudyError(
                f"--trials: {total} are fewer than the {had} that study {study.name!r} was asked for "
                f"({begun} are begun); name a total of at least {had}, or +N for N more"
            )
        found["search.trials"] = total
    if more.replicates is not None:
        found |= _more_replicates(config, study, more.replicates)
    for name, used in (("hours", budget.hours), ("gpu_hours", budget.gpu_hours)):
        asked = getattr(more, name)
        if asked is None:
            continue
        limit = getattr(config.budget, name)
        amount, further = _amount(FLAGS[name], asked)
        total_hours = max(limit or 0.0, used) + amount if further else amount
        if total_hours <= used:
            raise StudyError(
                f"{FLAGS[name]}: {total_hours:g} would be spent at once, because study {study.name!r} has used "
                f"{used:.3g}; name a larger total, or +H for H more"
            )
        found[f"budget.{name}"] = total_hours
    if more.patience is not None:
        found["budget.patience"] = more.patience
    if more.address is not None:
        found["resources.address"] = None if more.address == configuration.LOCAL else more.address
    new = {path: value for path, value in found.items() if value != _field(config, path)}
    budget.config = with_changes(config, new).budget
    settled = budget.settled()
    if "search.trials" in new and settled is not None:
        raise StudyError(
            f"--trials: study {study.name!r} would begin none of them, because {settled} (budget.patience "
            f"{budget.config.patience}); add --patience P with P above {budget.in_vain}"
        )
    return new


def _more_replicates(config: StudyConfig, study: Study, replicates: int) -> dict[str, Any]:
    """The fields that further replicates of a grid change.

    Raises:
        StudyError: the study is no grid, or has more of them.
    """
    search = config.search
    if search.sampler != "grid":
        raise StudyError(
            f"--replicates: study {study.name!r} is no grid, its sampler is {search.sampler}, got {replicates}"
        )
    if replicates < search.replicates:
        raise StudyError(
            f"--replicates: study {study.name!r} has {search.replicates} already, got {replicates}; at least as many "
            "are allowed"
        )
    further = (replicates - search.replicates) * len(grid.combinations(search.grid))
    return {"search.replicates": replicates, "search.trials": search.trials + further}


def _amount(flag: str, asked: str | float, *, whole: bool = False) -> tuple[float, bool]:
    """A number above 0, and whether it comes on top of what there is."""
    number = r"\d+" if whole else r"(?:\d+\.?\d*|\.\d+)"
    match = re.fullmatch(rf"\s*(\+?)\s*({number})\s*", str(asked))
    if match is None or not 0 < float(match[2]) < math.inf:
        kind = (
            "a whole number such as 40, or +10 for ten more" if whole else "hours such as 8, or +0.5 for more"
        )
        raise ConfigError(f"{flag}: must be {kind}, got {str(asked)!r}")
    return float(match[2]), bool(match[1])


def _field(config: StudyConfig, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name)
    return value


# -- whether there is anything to do -------------------------------------------------------------------------


def over(study: Study, changed: Mapping[str, Any]) -> tuple[int, str] | None:
    """Why going on with a study would do nothing: an exit code and a sentence; None where there is work.

    Args:
        study: locked by this process.
        changed: what is asked for beyond what it was asked for already.
    """
    config = with_changes(study.config, changed)
    budget = Budget(study)
    budget.config = config.budget
    left = config.search.trials - _ended(study)
    spent, settled = budget.spent(), budget.settled()
    if left > 0 and spent is not None:
        used = ", ".join(f"{used:.3g} {FLAGS[name][2:]} used" for name, used in budget.exhausted().items())
        report = (
            ""
            if study.report() or study.best() is None
            else f", {again(study, 'confirm')} reports what there is"
        )
        return StudyStopped.exit_code, (
            f"{left} of {config.search.trials} trials of study {study.name} are left, and {spent} ({used}); "
            f"{again(study)} goes on{report}"
        )
    if (left <= 0 or settled is not None) and confirmed(study):
        which = (
            f"the search has ended ({settled})"
            if left > 0
            else f"all {config.search.trials} trials have ended"
        )
        flags = "--patience P" if left > 0 else "--trials +N"
        return (
            0,
            f"study {study.name} is done: {which} and are confirmed; {again(study, flags=flags)} asks for more",
        )
    return None


def confirmed(study: Study) -> bool:
    """Whether the report is there, of the trials that there are, and the tracking store has all of it."""
    if frozen.winner(study) is None or study.report() is None or not (study.links() or {}).get("whole"):
        return False
    store = sqlite_path(tracking_uri(study.config))
    return store is None or store.exists()


def again(study: Study, verb: str = "resume", *, flags: str = "") -> str:
    """The command that goes on with a study, in backticks, with the flags for what has been spent of its budget."""
    spent = raised(Budget(study)) if verb == "resume" and study.config.search.trials > _ended(study) else []
    return f"`{command(study, verb, *spent, *([flags] if flags else []))}`"


def _ended(study: Study) -> int:
    return sum(trial.outcome in STATES for trial in study.trials())


# -- points of one's own -------------------------------------------------------------------------------------


def add_point(study: Study, given: Mapping[str, Scalar]) -> Added:
    """Let a setting of one's own be the next trial of a study, whether or not a driver is at work.

    Args:
        study: on disk; its lock is not taken.
        given: hyperparameters; what they leave open is trial 0's.

    Raises:
        RayddError: the method does not allow them, the study has fixed one at another value, or a trial has them.
    """
    with turn(study):
        config = study.config
        plan = planned(study, config, verify=False)
        values = own_point(plan.method, plan.context, plan.space, given, "--hp")
        pending = _pending(study, plan, values)
        running, ended = study.is_running(), _ended(study) >= config.search.trials
        study.extend({"search.trials": config.search.trials + 1}, values)
    return Added(
        len(study.numbers()) + pending, values, searching=running and not ended, confirming=running and ended
    )


def _pending(study: Study, plan: Plan, values: Mapping[str, Scalar]) -> int:
    """Settings that were given and wait for their trial; refuses values that a trial has, or that wait already."""

    def whole(own: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            return jobs.resolve(plan.method, plan.context, {**plan.context.fixed, **own}).model_dump()
        except RayddError:  # of a trial that failed for that reason
            return None

    asked, begun = whole(values), []
    for trial in study.trials():
        begun.append((whole(trial.values), trial.replicate))
        if begun[-1][0] == asked:
            raise StudyError(
                f"--hp: trial {trial.number} of study {study.name!r} has these values already ({trial.outcome})"
            )
    given = [(whole(point.values), point.replicate) for point in plan.points]
    given += [(whole(own), 0) for own in study.added_points()]
    waiting = [own for own in given if own not in begun]
    if any(own == asked for own, _ in waiting):
        raise StudyError(f"--hp: these values wait already to be run in study {study.name!r}")
    return len(waiting)
