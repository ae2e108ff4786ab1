"""Where one study stands: its stage, its trials, what it has cost, what failed, and what to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raydd import failures, files
from raydd.storage.stop_sign import StopSign
from raydd.tuning import overview
from raydd.tuning.budget import Budget, sessions
from raydd.tuning.commands import command, raised
from raydd.tuning.studies import complete

if TYPE_CHECKING:
    from raydd.tuning.studies import Study, TrialRecord

STAGES = ("assets", "search", "re-rank", "report", "done")


@dataclass(frozen=True)
class Underway:
    """A trial that a worker is at.

    Attributes:
        number: of the trial.
        iteration, iterations: at its last report or where its attempt began, and asked for.
        val_accuracy: fraction at its last evaluation, a search estimate.
        host, pid: of the worker; None before it has begun.
        attempt: its number.
        since: when the attempt began, ISO 8601.
    """

    number: int
    iteration: int
    iterations: int
    val_accuracy: float | None
    host: str | None
    pid: int | None
    attempt: int
    since: str | None


@dataclass(frozen=True)
class Reason:
    """What went wrong in the same way, told once.

    Attributes:
        kind: as in `raydd.failures`, or `diverged`.
        why: the newest sentence.
        attempts: how many ended so.
        trials: numbers of the trials that it happened to.
        given_up: of those, the trials that ended by it.
    """

    kind: str
    why: str
    attempts: int
    trials: list[int]
    given_up: list[int]


@dataclass(frozen=True)
class Spent:
    """One part of a budget.

    Attributes:
        what: `hours`, `GPU-hours` or `patience` (trials in a row without a new best one).
        used, limit: of it; None is no limit.
    """

    what: str
    used: float
    limit: float | None


@dataclass(frozen=True)
class Status:
    """Where a study stands.

    Attributes:
        name: of the study.
        running: whether a driver holds it; `holder` says which.
        state: as in `raydd.tuning.overview.StudyLine`.
        stage: one of `STAGES`: the one that runs, or that comes next.
        asked: trials.
        outcomes: trials by outcome; those that a worker is at are `running`, others without an end `interrupted`.
        underway: the running ones.
        best: number of the best complete trial.
        best_accuracy: its validation accuracy, a fraction: a search estimate.
        confirmed: the winner's test accuracy, a fraction.
        report_runs: distillations of the confirmation that are done.
        spent: of the budget.
        notices: sentences about a budget that is spent, a search that is settled, or a stop that was asked for.
        reasons: what failed.
        test_readings: how often test data were read.
        next: commands to type.
    """

    name: str
    running: bool
    holder: str
    state: str
    stage: str
    asked: int
    outcomes: dict[str, int]
    underway: list[Underway]
    best: int | None
    best_accuracy: float | None
    confirmed: float | None
    report_runs: int
    spent: list[Spent]
    notices: list[str]
    reasons: list[Reason]
    test_readings: int
    next: list[str]


def status(study: Study) -> Status:
    """Where the study stands, from its files alone."""
    running, config = study.is_running(), study.config
    records, budget, report = study.trials(), Budget(study), study.report()
    session = max(sessions(study), default=0)
    outcomes = {record.number: _outcome(study, record, running, session) for record in records}
    ended = sum(outcome not in ("running", "interrupted") for outcome in outcomes.values())
    accuracies = {record.number: record.val_accuracy for record in complete(records)}
    best = next(iter(accuracies), None)
    state = overview.state_of(study, accuracies, ended, config.search.trials, report)
    searching = ended < config.search.trials and budget.settled() is None
    stage = _stage(study, state, searching, report)
    stop = study_stop(study) if running else None
    said = [sentence for sentence in (budget.spent(), budget.settled()) if sentence and stage != "done"]
    return Status(
        name=study.name,
        running=running,
        holder=study.holder() if running else "",
        state=state,
        stage=stage,
        asked=config.search.trials,
        outcomes=dict(Counter(outcomes.values())),
        underway=[_underway(study, record) for record in records if outcomes[record.number] == "running"],
        best=best,
        best_accuracy=None if best is None else accuracies[best],
        confirmed=None if report is None else float(report["arms"][0]["mean"]),
        report_runs=len(list((study.folder / "confirm").glob("*/re*-*/result.json"))),
        spent=[
            Spent("hours", budget.hours, config.budget.hours),
            Spent("GPU-hours", budget.gpu_hours, config.budget.gpu_hours),
            Spent("patience", budget.in_vain, config.budget.patience),
        ],
        notices=said + ([f"asked to stop: {stop}"] if stop else []),
        reasons=reasons(study, records),
        test_readings=study.test_readings(),
        next=[command(study, *words) for words in _next(state, budget)],
    )


def study_stop(study: Study) -> str | None:
    """Why the study was asked to stop, if it was and a driver has not heard of it yet."""
    sign = StopSign(study.folder).read()
    return None if sign is None else sign["why"]


def reasons(study: Study, records: list[TrialRecord]) -> list[Reason]:
    """Why attempts failed and trials diverged, each reason once, the most frequent first."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    given_up: dict[str, list[int]] = {}
    for record in records:
        failed = [(one["kind"], one["why"]) for one in study.trial_files(record.number).failures()]
        if record.outcome in ("failed", "diverged"):
            kind = record.outcome if record.outcome == "diverged" else _end(study, record.number)["kind"]
            end = (kind or "error", record.why)
            if failures.reason(*end) not in {failures.reason(*one) for one in failed}:
                failed.append(end)
            given_up.setdefault(failures.reason(*end), []).append(record.number)
        for kind, why in failed:
            found.setdefault(failures.reason(kind, why), []).append((record.number, kind, why))
    told = [
        Reason(
            kind=cases[-1][1],
            why=cases[-1][2],
            attempts=len(cases),
            trials=sorted({number for number, _, _ in cases}),
            given_up=given_up.get(reason, []),
        )
        for reason, cases in found.items()
    ]
    return sorted(told, key=lambda one: (-one.attempts, one.trials))


def _end(study: Study, number: int) -> Mapping[str, Any]:
    return {"kind": "", **files.read_json(study.trial_folder(number) / "end.json")}


def _outcome(study: Study, record: TrialRecord, running: bool, session: int) -> str:
    """Its outcome; a trial without an end runs only if this session's driver has begun it."""
    if record.outcome not in ("running", "interrupted"):
        return record.outcome
    trial_files = study.trial_files(record.number)
    attempts = trial_files.attempts()
    begun = trial_files.begun(attempts[-1]) if attempts else {}
    return "running" if running and begun.get("session", session) == session else "interrupted"


def _underway(study: Study, record: TrialRecord) -> Underway:
    trial_files = study.trial_files(record.number)
    attempts = trial_files.attempts()
    begun = trial_files.begun(attempts[-1]) if attempts else {}
    return Underway(
        number=record.number,
        iteration=max(record.iteration, int(begun.get("iteration", 0))),
        iterations=record.iterations,
        val_accuracy=record.val_accuracy,
        host=begun.get("host"),
        pid=begun.get("pid"),
        attempt=attempts[-1] if attempts else 1,
        since=begun.get("time"),
    )


def _stage(study: Study, state: str, searching: bool, report: Mapping[str, Any] | None) -> str:
    if state == overview.CONFIRMED:
        return "done"
    if not (study.folder / "measured.json").exists():
        return "assets"
    if searching:
        return "search"
    if not (study.folder / "confirm" / "winner.json").exists():
        return "re-rank"
    return "report"


def _next(state: str, budget: Budget) -> list[list[str]]:
    """Verbs with flags."""
    if state == overview.STOPPED:
        return [["resume", *raised(budget)]]
    verbs = {overview.RUNNING: ["logs", "stop"], overview.SEARCHED: ["confirm"], overview.CONFIRMED: ["show"]}
    return [[verb] for verb in verbs.get(state, ["logs"])]


def repair(study: Study) -> list[str]:
    """Close those runs of the study in MLflow that its driver left open when it was killed; returns their names.

    Trials whose end is on disk get that end, all others are interrupted.

    Raises:
        StudyError: a driver is at work on the study.
        TrackingError: the tracking store cannot be used.
    """
    from raydd.tuning.parent import tracking_uri
    from raydd.tuning.tracking import Tracker

    study.lock()  # so that no driver begins meanwhile
    try:
        identity = {"raydd.study": study.name}
        known = study.folder / "provenance.json"
        if known.exists():
            identity["raydd.study_id"] = str(files.read_json(known)["study_id"])
        ends = {
            record.number: (record.outcome, record.why)
            for record in study.trials()
            if (study.trial_folder(record.number) / "end.json").exists()
        }
        links = study.links() or {}
        return Tracker.close_left_open(
            tracking_uri(study.config), identity, ends, experiment_id=links.get("experiment_id") or None
        )
    finally:
        study.unlock()
