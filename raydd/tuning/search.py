"""Running a study: assets, search, confirmation, in one Ray session; each stage leaves what the next one reads."""

from __future__ import annotations

import math
import os
import secrets
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd import files, jobs, registry
from raydd.config import default_home
from raydd.errors import StageFailed, StudyError
from raydd.tuning import cluster, confirmation, tasks
from raydd.tuning.callback import StudyCallback, replay
from raydd.tuning.plan import Plan, plan_for
from raydd.tuning.provenance import provenance
from raydd.tuning.searcher import STATES, StudySearcher
from raydd.tuning.studies import Study
from raydd.tuning.tracking import Tracker

if TYPE_CHECKING:
    from raydd.config import StudyConfig
    from raydd.tuning.progress import Progress

RETRIES = 1  # a trial goes on from its checkpoint once; a second error of the same trial is its end


@dataclass(frozen=True)
class StudyResult:
    """How a study ended.

    Attributes:
        name, folder: of the study.
        exit_code: 0 done, 1 no finished trial or a failed stage, 75 signal or budget, 130 Ctrl-C.
        report: the confirmation, if it was reached.
        message: one line for the end.
    """

    name: str
    folder: Path
    exit_code: int
    report: dict[str, Any] | None
    message: str


def launch(plan: Plan, progress: Progress) -> StudyResult:
    """Make the study's folder and run the study to its end.

    Raises:
        RayddError: the tracking store or the folder cannot be used; nothing has run then.
    """
    config = plan.config
    Tracker.preflight(tracking_uri(config), experiment(plan), artifact_root(config))
    # The id tells apart studies of one name on a shared tracking server.
    facts = {"study_id": secrets.token_hex(8), **provenance()}
    return run(Study.create(config, facts), plan, progress)


def resume(study: Study, progress: Progress) -> StudyResult:
    """Go on with a study: finished trials stay, interrupted ones continue from their checkpoints.

    Raises:
        RayddError: the study is in use, or what it was made from has changed.
    """
    return run(study, reopen(study), progress)


def confirm_study(study: Study, progress: Progress, *, seeds: int | None = None) -> StudyResult:
    """Report a searched study again, with `seeds` report seeds in total where more are wanted.

    The winner that a re-ranking froze stays the winner: test figures must not choose.

    Raises:
        RayddError: the study is in use, its data have changed, or its search is not done.
    """
    plan = reopen(study)
    missing = plan.config.search.trials - sum(trial.outcome in STATES for trial in study.trials())
    if missing > 0:
        study.unlock()
        raise StudyError(
            f"study {study.name!r} has {missing} of {plan.config.search.trials} trials unfinished; "
            f"`raydd resume {study.name}` first, because the winner is frozen and test data are read now"
        )

    def stages(ray: Any, tracker: Tracker) -> dict[str, Any]:
        report = confirmation.confirm(ray, study, plan, progress, seeds=seeds)
        confirmation.track(tracker, study, report)
        return report

    return conduct(study, plan, progress, stages)


def reopen(study: Study) -> Plan:
    """Lock an existing study and plan it anew from what it saved.

    Raises:
        RayddError: the study is in use, or its data have changed.
    """
    study.lock()
    try:
        config = study.config
        data = jobs.load(config.data)
        known = study.folder / "fingerprint.json"
        if known.exists() and files.read_json(known) != data.fingerprint:
            raise StudyError(
                f"study {study.name!r} was made from other data than {config.data.name} holds now; "
                "bring the old data back, or start a new study"
            )
        plan = plan_for(config, registry.get(config.method), data, read_measured(study))
        Tracker.preflight(tracking_uri(config), experiment(plan), artifact_root(config))
    except BaseException:
        study.unlock()
        raise
    return plan


def run(study: Study, plan: Plan, progress: Progress) -> StudyResult:
    """Run every stage that is not done yet; the study's lock is held and given back at the end."""

    def stages(ray: Any, tracker: Tracker) -> dict[str, Any]:
        replay(study, tracker, common_tags(study, plan))
        planned = make_assets(ray, study, plan, progress)
        search_trials(ray, study, planned, tracker, progress)
        report = confirmation.confirm(ray, study, planned, progress)
        confirmation.track(tracker, study, report)
        return report

    return conduct(study, plan, progress, stages)


def conduct(
    study: Study, plan: Plan, progress: Progress, stages: Callable[[Any, Tracker], dict[str, Any]]
) -> StudyResult:
    """Run `stages` with a Ray and a tracker, and turn however they end into a result.

    Args:
        study: locked; unlocked at the end.
        plan: of the study.
        progress: the display.
        stages: called with the connected `ray` and the tracker; returns the report.
    """
    signals = _Signals()
    status, code, report = "FAILED", 1, None
    message = f"study {study.name} stopped on an error"
    tracker = Tracker(tracking_uri(plan.config), experiment(plan), artifact_root=artifact_root(plan.config))
    try:
        files.write_json(study.folder / "fingerprint.json", plan.data.fingerprint)
        open_parent(tracker, study, plan)
        with cluster.session(plan.config.resources) as ray, signals:  # Ray puts in handlers of its own
            report = stages(ray, tracker)
        status, code, message = "FINISHED", 0, f"study {study.name} is done: {study.folder}"
    except KeyboardInterrupt:
        status, code = "KILLED", 75 if signals.received == signal.SIGTERM else 130
        where = "" if study.home == Path(default_home()).absolute() else f" --home {study.home}"
        message = f"interrupted; `raydd resume {study.name}{where}` goes on where it stopped"
    except StageFailed as error:
        message = str(error)
    finally:
        close(tracker, study, status, progress)
    return StudyResult(study.name, study.folder, code, report, message)


def close(tracker: Tracker, study: Study, status: str, progress: Progress) -> None:
    """Close every run, say what the tracking store refused, and give the study back."""
    tracker.close_study(status)
    tracker.close()
    if tracker.links().get("run_id"):
        files.write_json(study.folder / "tracking.json", tracker.links())
    for problem in tracker.problems:
        progress.warning(f"tracking: {problem}")
    study.unlock()


class _Signals:
    """Remembers the first SIGINT or SIGTERM and lets both reach Ray Tune as the SIGINT that it understands."""

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> _Signals:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._old = {kind: signal.signal(kind, self._handle) for kind in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            for kind, handler in self._old.items():
                signal.signal(kind, handler)

    def _handle(self, kind: int, frame: Any) -> None:
        self.received = self.received or kind
        if kind == signal.SIGTERM:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            raise KeyboardInterrupt


# -- stages --------------------------------------------------------------------------------------------


def make_assets(ray: Any, study: Study, plan: Plan, progress: Progress) -> Plan:
    """Train or find the assets, measure what the space depends on; returns the plan with it."""
    config = plan.config
    count = len(plan.method.assets(plan.context))
    options = cluster.task_options(config.resources)
    if count:
        progress.stage("assets")
        remote = ray.remote(tasks.make_asset).options(**options)
        pending = [remote.remote(study.folder, index) for index in range(count)]
        records: list[dict[str, Any]] = []
        for done, reference in enumerate(pending, start=1):
            records.append(cluster.fetch(ray, reference, "an asset could not be made"))
            progress.units("assets", done, count)
        check_assets(study, records)
    measured = read_measured(study)
    if measured is None:
        reference = ray.remote(tasks.measure).options(**options).remote(study.folder)
        measured = cluster.fetch(ray, reference, "the initial images could not be measured")
        files.write_json(study.folder / "measured.json", measured)
    return plan_for(config, plan.method, plan.data, measured)


def check_assets(study: Study, records: list[dict[str, Any]]) -> None:
    """Write down which weights the study uses; on a resume, stop if they are others.

    Raises:
        StageFailed: an asset was made anew and came out with other bytes.
    """
    path = study.folder / "assets.json"
    used = {record["key"]: record["sha256"] for record in files.read_json(path)} if path.exists() else {}
    made = {record["key"]: record["sha256"] for record in records}
    if used and used != made:
        raise StageFailed(
            f"the assets of study {study.name!r} are not those that it began with (other torch, threads or "
            "device, or a deleted asset that came out differently); its trials could not be compared any more"
        )
    files.write_json(path, records)


def search_trials(ray: Any, study: Study, plan: Plan, tracker: Tracker, progress: Progress) -> None:
    """Run the trials that are left.

    Raises:
        StageFailed: no trial is complete in the end.
    """
    from ray import tune

    from trainables.base import DistillTrainable

    config = plan.config
    settings, resources = config.search, config.resources
    searcher = StudySearcher(
        study,
        plan.space,
        trials=settings.trials,
        points=plan.points,
        sampler=settings.sampler,
        seed=config.seed,
        iterations=plan.context.iterations,
    )
    if searcher.left():
        slots = cluster.slots(ray, resources)
        concurrency = min(settings.concurrency or slots, searcher.left())
        progress.stage("search")
        progress.message(f"{min(concurrency, slots)} trials at once, {resources.cpus_per_trial} CPUs each")
        progress.search_started(
            trials=settings.trials, iterations=plan.context.iterations, unit=plan.method.unit
        )
        shutil.rmtree(study.folder / "ray", ignore_errors=True)
        share = {"CPU": float(resources.cpus_per_trial), "GPU": resources.gpus_per_trial}
        bundle = {name: amount for name, amount in share.items() if amount}
        callback = StudyCallback(
            study, tracker, progress, tags=common_tags(study, plan), iterations=plan.context.iterations
        )
        tuner = tune.Tuner(
            tune.with_resources(DistillTrainable, tune.PlacementGroupFactory([bundle])),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler(plan, study),
                num_samples=searcher.left(),
                max_concurrent_trials=concurrency,
                # A GPU process that was used before may still hold memory that its successor's share lacks.
                reuse_actors=resources.gpus_per_trial == 0,
                trial_dirname_creator=lambda trial: f"trial-{trial.config['number']}",
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(study.folder / "ray"),
                callbacks=[callback],
                checkpoint_config=tune.CheckpointConfig(
                    checkpoint_at_end=False
                ),  # the trial's folder has its own
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                verbose=0,
            ),
        )
        # Ray Tune leaves its own handlers behind, and they would swallow the next Ctrl-C.
        handlers = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGUSR1)}
        try:
            tuner.fit()
        finally:
            if threading.current_thread() is threading.main_thread():
                for kind, handler in handlers.items():
                    signal.signal(kind, handler)
    if searcher.left() or searcher.live:  # Ray Tune returns as if it were done when it is interrupted
        raise KeyboardInterrupt
    if study.best() is None:
        failures = [
            f"trial {trial.number} {trial.outcome}: {trial.why}" for trial in study.trials() if trial.why
        ]
        raise StageFailed(
            f"none of {len(study.trials())} trials finished; "
            + (failures[0] if failures else "no reason is known")
        )


def scheduler(plan: Plan, study: Study) -> Any:
    """The stopping rule of a study, its rungs filled with what earlier runs of it recorded."""
    from ray.tune.schedulers import FIFOScheduler

    from raydd.tuning.scheduler import MarginASHA

    settings = plan.config.search
    if settings.scheduler == "none":
        return FIFOScheduler()
    asha = MarginASHA(
        reduction_factor=settings.reduction_factor,
        margin=settings.prune_margin,
        repeats=plan.config.evaluation.repeats,
        validation_size=len(plan.data.val),
        trials=settings.trials,
    )
    for trial in study.trials():
        for row in files.read_jsonl(study.trial_folder(trial.number) / "history.jsonl"):
            if row.get("evaluated") and row["rung"] > 0 and math.isfinite(row["val_accuracy"]):
                asha.record(row["rung"], trial.number, row["val_accuracy"], row["val_accuracy_std"])
    return asha


def read_measured(study: Study) -> dict[str, float] | None:
    """What was measured for the space, if it was."""
    path = study.folder / "measured.json"
    return files.read_json(path) if path.exists() else None


# -- tracking ------------------------------------------------------------------------------------------


def tracking_uri(config: StudyConfig) -> str:
    """The study's tracking URI: as configured, else one sqlite file under the home."""
    return config.tracking.uri or f"sqlite:///{Path(config.home) / 'mlflow.db'}"


def artifact_root(config: StudyConfig) -> Path:
    """Folder of artifacts of a store without a server; a server keeps its own."""
    return Path(config.home) / "artifacts"


def experiment(plan: Plan) -> str:
    """Name of the MLflow experiment."""
    return (
        plan.config.tracking.experiment or f"{plan.method.name}-{plan.context.dataset}-ipc{plan.context.ipc}"
    )


def common_tags(study: Study, plan: Plan) -> dict[str, str]:
    """Tags of the parent and of every child run."""
    return {
        "raydd.study": study.name,
        "raydd.study_id": str(files.read_json(study.folder / "provenance.json")["study_id"]),
        "raydd.method": plan.method.name,
        "raydd.dataset": plan.context.dataset,
        "raydd.ipc": str(plan.context.ipc),
        "raydd.seed": str(plan.config.seed),
    }


def open_parent(tracker: Tracker, study: Study, plan: Plan) -> None:
    """Open the study's parent run with everything that its trials have in common."""
    values = plan.config.model_dump(exclude={"home", "name", "tracking"})
    defaults = plan.method.defaults(plan.context).model_dump(mode="json")
    searched = plan.space.hyperparameters()
    unsearched = {f"method.{name}": defaults[name] for name in defaults if name not in searched}
    tracker.open_study(
        study.name,
        params={**dict(flat(values)), **unsearched},
        tags=common_tags(study, plan),
        description=f"**{plan.method.title}** — {plan.method.reference}\n\n"
        + "\n".join(f"- {x}" for x in plan.lines()),
        dataset={
            "name": plan.data.name,
            "fingerprint": plan.data.fingerprint,
            "source": plan.config.data.name,
            "context": "training",
        },
        files=[study.folder / "study.yaml", study.folder / "provenance.json"],
    )


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values as `a.b` paths; empty parts are left out."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
