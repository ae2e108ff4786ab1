"""Running a study: assets, search, confirmation, in one Ray session; each stage leaves what the next one reads."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd import failures, files
from raydd.errors import StageFailed, StudyError, StudyStopped, TrackingAway
from raydd.storage.provenance import computed
from raydd.tuning import cluster, confirmation, extending, preflight
from raydd.tuning.budget import Budget
from raydd.tuning.carrying import carried
from raydd.tuning.commands import command
from raydd.tuning.parent import Parent, artifact_root, experiment, open_parent, show_end, tracking_uri
from raydd.tuning.plan import Plan, check_compiling
from raydd.tuning.provenance import provenance
from raydd.tuning.replay import replay
from raydd.tuning.searcher import STATES, check_journal, open_optuna, write_missing_ends
from raydd.tuning.signals import Signals
from raydd.tuning.stages import make_assets, search_trials
from raydd.tuning.studies import Study
from raydd.tuning.tracking import Tracker, redact
from raydd.wording import last_line

if TYPE_CHECKING:
    from raydd.config import StudyConfig
    from raydd.tuning.progress import Progress


# Writes a study's report, which stands on a higher floor, and returns its files, the page first.
Reporter = Callable[[Study], Sequence[Path]]


@dataclass(frozen=True)
class StudyResult:
    """How a study ended.

    Attributes:
        name, folder: of the study.
        exit_code: 0 done, 1 no finished trial or a failed stage, 75 signal or budget, 130 Ctrl-C.
        report: the confirmation, if it was reached.
        message: one line for the end.
        page: the report as a file, if one was written.
    """

    name: str
    folder: Path
    exit_code: int
    report: dict[str, Any] | None
    message: str
    page: Path | None = None


def launch(plan: Plan, progress: Progress, reporter: Reporter | None = None) -> StudyResult:
    """Make the study's folder and run the study to its end.

    Args:
        plan: of the study.
        progress: the display.
        reporter: writes the report at the end; without it there is none.

    Raises:
        RayddError: the tracking store or the folder cannot be used; nothing has run then.
    """
    config = plan.config
    preflight.check(config, Path(config.home))  # before anything of the study is made
    Tracker.preflight(tracking_uri(config), experiment(plan), artifact_root(config))
    # The id tells apart studies of one name on a shared tracking server.
    facts = {"study_id": secrets.token_hex(8), **provenance(), "computed": computed(plan.context)}
    return run(Study.create(config, facts), plan, progress, reporter)


def resume(
    study: Study,
    progress: Progress,
    more: extending.More | None = None,
    reporter: Reporter | None = None,
) -> StudyResult:
    """Go on with a study: finished trials stay, interrupted ones continue from their checkpoints.

    Args:
        study: on disk.
        progress: the display.
        more: what is asked for beyond what it was asked for before; written down once all of it is found to be right.
        reporter: see `launch`.

    Raises:
        RayddError: the study is in use, what it was made from has changed, or `more` cannot be had.
    """
    study.lock()
    try:
        with extending.turn(study):
            changed = extending.changes(study, more or extending.More())
            ended = extending.over(study, changed)
            if ended is None:
                plan = replan(study, extending.with_changes(study.config, changed), progress)
                if changed:
                    study.extend(changed)
    except BaseException:
        study.unlock()
        raise
    if ended is not None:
        study.unlock()
        code, message = ended
        return StudyResult(study.name, study.folder, code, study.report(), message)
    return run(study, plan, progress, reporter)


def confirm_study(
    study: Study, progress: Progress, *, seeds: int | None = None, reporter: Reporter | None = None
) -> StudyResult:
    """Report a searched study again, with `seeds` report seeds in total where more are wanted.

    The winner that a re-ranking froze stays the winner: test figures must not choose.

    Raises:
        RayddError: the study is in use, its data have changed, or its search is not done.
    """
    plan = reopen(study, progress)
    missing = plan.config.search.trials - sum(trial.outcome in STATES for trial in study.trials())
    budget = Budget(study)
    if missing > 0 and not (budget.spent() or budget.settled()):
        study.unlock()
        raise StudyError(
            f"study {study.name!r} has {missing} of {plan.config.search.trials} trials unfinished; "
            f"`raydd resume {study.name}` first, because the winner is frozen and test data are read now"
        )

    def stages(ray: Any, tracker: Tracker, signals: Signals) -> dict[str, Any]:
        replay(study, tracker, Parent.of(study, plan))
        return confirmation.confirm(ray, study, plan, progress, seeds=seeds)

    return conduct(study, plan, progress, stages, reporter)


def reopen(study: Study, progress: Progress) -> Plan:
    """Lock an existing study and plan it anew from what it saved.

    Raises:
        RayddError: the study is in use, or its data have changed.
    """
    study.lock()
    try:
        return replan(study, study.config, progress)
    except BaseException:
        study.unlock()
        raise


def replan(study: Study, config: StudyConfig, progress: Progress) -> Plan:
    """Plan an existing study that is to be run; `config` is its own, with what is asked for.

    A tracking server that is away does not keep a study from going on, any more than it ends one that runs.
    """
    check_compiling(config)
    plan = extending.planned(study, config)
    check_journal(study)
    preflight.check(config, study.folder)
    try:
        Tracker.preflight(tracking_uri(config), experiment(plan), artifact_root(config))
    except TrackingAway:
        progress.warning(
            f"tracking: {redact(tracking_uri(config))} does not answer; what it lacks is written when it is back, or "
            f"by `{command(study, 'sync')}` later"
        )
    return plan


def run(study: Study, plan: Plan, progress: Progress, reporter: Reporter | None = None) -> StudyResult:
    """Run every stage that is not done yet; the study's lock is held and given back at the end."""

    def stages(ray: Any, tracker: Tracker, signals: Signals) -> dict[str, Any]:
        if study.journal.exists():
            write_missing_ends(study, open_optuna(study.journal, study.name).get_trials(deepcopy=False))
        replay(study, tracker, Parent.of(study, plan))
        planned = make_assets(ray, study, plan, progress)
        search_trials(ray, study, planned, tracker, progress, signals)
        return confirmation.confirm(ray, study, planned, progress)

    return conduct(study, plan, progress, stages, reporter)


def conduct(
    study: Study,
    plan: Plan,
    progress: Progress,
    stages: Callable[[Any, Tracker, Signals], dict[str, Any]],
    reporter: Reporter | None = None,
) -> StudyResult:
    """Run `stages` with a Ray and a tracker, and turn however they end into a result.

    Args:
        study: locked; unlocked at the end.
        plan: of the study.
        progress: the display.
        stages: called with the connected `ray`, the tracker and the signals; returns the report.
        reporter: see `launch`; asked wherever the study stopped by itself, and not where somebody waits for its end.
    """
    signals = Signals()
    status, code, report, parent, page = "FAILED", 1, None, None, None
    waited_for = True
    message = f"study {study.name} stopped on an error"
    uri = tracking_uri(plan.config)
    tracker = Tracker(uri, experiment(plan), artifact_root=artifact_root(plan.config))
    try:
        files.write_json(study.folder / "fingerprint.json", plan.data.fingerprint)
        parent = Parent.of(study, plan)
        open_parent(tracker, study, parent)
        with cluster.session(plan.config.resources) as ray, signals:  # Ray puts in handlers of its own
            with carried(tracker, ray, uri):
                report = stages(ray, tracker, signals)
        status, code, message = "FINISHED", 0, f"study {study.name} is done: {study.folder}"
        waited_for = False
    except (KeyboardInterrupt, StudyStopped) as error:
        status = "KILLED"
        code = signals.exit_code if signals.received or isinstance(error, KeyboardInterrupt) else 75
        why = f"stopped: {error}" if str(error) and not signals.received else "interrupted"
        waited_for = code != StudyStopped.exit_code or bool(signals.received)
        message = f"{why}; {extending.again(study)} goes on where it stopped"
    except StageFailed as error:
        message, waited_for = str(error), False
    except Exception as error:
        if failures.kind_of(error) != "disk":  # Ray Tune wraps what the driver's own hooks raise
            raise
        status, code = "KILLED", StudyStopped.exit_code
        message = (
            f"stopped: the disk is full; free some, then `raydd resume {study.name}` goes on where it stopped"
        )
    finally:
        try:
            if reporter is not None and not waited_for:
                page = write_report(reporter, study, progress)
        finally:
            whole = close(tracker, study, parent, status, progress)
    if not whole:
        message += f"; `{command(study, 'sync')}` brings to the tracking store what it lacks"
    return StudyResult(study.name, study.folder, code, report, message, page)


def write_report(reporter: Reporter, study: Study, progress: Progress) -> Path | None:
    """Write the report, which goes to the parent run at the end; one that fails costs a warning, never the study."""
    try:
        with study.as_ended():
            return reporter(study)[0]
    except (Exception, KeyboardInterrupt) as error:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else last_line(error)
        progress.warning(f"report: not written ({why}); `raydd report {study.name}` tries again")
        return None


def close(tracker: Tracker, study: Study, parent: Parent | None, status: str, progress: Progress) -> bool:
    """Close every run, say what the tracking store refused, and give the study back; whether it has all."""
    try:
        if parent is not None:
            with contextlib.suppress(OSError):  # a full disk, which is told already
                show_end(tracker, study, parent)
        tracker.close_study(status)
        tracker.close()
        if tracker.links().get("run_id"):
            whole = status == "FINISHED" and not tracker.problems
            with contextlib.suppress(OSError):
                files.write_json(study.folder / "tracking.json", {**tracker.links(), "whole": whole})
        for problem in tracker.problems:
            progress.warning(f"tracking: {problem}")
    finally:
        study.unlock()
    return not tracker.problems
