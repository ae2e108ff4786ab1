"""The stages before the confirmation: assets, measurements, and the trials on Ray Tune."""

from __future__ import annotations

import functools
import math
import shutil
from typing import TYPE_CHECKING, Any

from raydd import files, jobs
from raydd.errors import StageFailed, StudyStopped
from raydd.tuning import cluster, tasks, waiting
from raydd.tuning.budget import Budget, Session
from raydd.tuning.callback import StudyCallback
from raydd.tuning.conductor import Conductor
from raydd.tuning.parent import Parent
from raydd.tuning.plan import Plan, plan_for, trial_iterations
from raydd.tuning.searcher import StudySearcher

if TYPE_CHECKING:
    from raydd.tuning.progress import Progress
    from raydd.tuning.signals import Signals
    from raydd.tuning.studies import Study
    from raydd.tuning.tracking import Tracker

DECISIONS = "decisions.jsonl"
RETRIES = 1000  # what Ray may try at most; `raydd.failures` decides, in the trial's next attempt, whether there is one


def make_assets(ray: Any, study: Study, plan: Plan, progress: Progress) -> Plan:
    """Train or find the assets, measure what the space depends on; returns the plan with it."""
    config = plan.config
    count = len(plan.method.assets(plan.context))
    if count:
        progress.stage("assets")
        remote = ray.remote(tasks.make_asset).options(**cluster.task_options(ray, config.resources))
        pending = [remote.remote(study.folder, index) for index in range(count)]
        records: list[dict[str, Any]] = []
        for done, reference in enumerate(pending, start=1):
            waiting.first_done(ray, study, [reference])
            records.append(cluster.fetch(ray, reference, "an asset could not be made"))
            progress.units("assets", done, count)
        check_assets(study, records)
    measured = read_measured(study)
    if measured is None:
        options = cluster.task_options(ray, config.resources)
        reference = ray.remote(tasks.measure).options(**options).remote(study.folder)
        waiting.first_done(ray, study, [reference])
        measured = cluster.fetch(ray, reference, "the initial images could not be measured")
        files.write_json(study.folder / "measured.json", measured)
    return plan_for(config, plan.method, plan.data, measured)


def check_assets(study: Study, records: list[dict[str, Any]], fit: str = "train") -> None:
    """Write down which weights the study uses; on a resume, stop if they are others.

    Args:
        study: to which they belong.
        records: of all assets, in their order.
        fit: what they were trained on, see `jobs.assets_file`.

    Raises:
        StageFailed: an asset was made anew and came out with other bytes.
    """
    path = jobs.assets_file(study.folder, fit)
    used = {record["key"]: record["sha256"] for record in files.read_json(path)} if path.exists() else {}
    made = {record["key"]: record["sha256"] for record in records}
    if used and used != made:
        raise StageFailed(
            f"the assets of study {study.name!r} are not those that it began with (other raydd, torch, threads or "
            "device, or a deleted asset that came out differently); its trials could not be compared any more"
        )
    files.write_json(path, records)


def search_trials(
    ray: Any, study: Study, plan: Plan, tracker: Tracker, progress: Progress, signals: Signals
) -> None:
    """Run the trials that are left.

    Raises:
        StudyStopped: it was stopped, and can be resumed.
        StageFailed: no trial is complete in the end, or all fail for the same reason.
    """
    from ray import tune

    from trainables.base import DistillTrainable

    config = plan.config
    settings, resources = config.search, config.resources
    session = Session(study)
    searcher = StudySearcher(
        study,
        plan.space,
        trials=settings.trials,
        points=plan.points,
        sampler=settings.sampler,
        seed=config.seed,
        iterations=functools.partial(trial_iterations, plan.method, plan.context),
        session=session.number,
    )
    conductor = Conductor(study, searcher, Budget(study, session), signals)
    if searcher.left():  # a budget that was spent with the last trial stops nothing
        conductor.look()
    if searcher.left() and not searcher.closed:
        slots = cluster.slots(ray, resources)
        concurrency = min(settings.concurrency or slots, slots)
        progress.stage("search")
        for line in cluster.placement(ray, config, concurrency):
            progress.message(line)
        progress.search_started(trials=settings.trials, iterations=plan.iterations, unit=plan.method.unit)
        shutil.rmtree(study.folder / "ray", ignore_errors=True)
        share = {"CPU": float(resources.cpus_per_trial), "GPU": resources.gpus_per_trial}
        bundle = {name: amount for name, amount in share.items() if amount}
        callback = StudyCallback(
            study,
            tracker,
            progress,
            conductor,
            parent=Parent.of(study, plan),
            iterations=plan.iterations,
        )
        tuner = tune.Tuner(
            tune.with_resources(DistillTrainable, tune.PlacementGroupFactory([bundle])),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler(plan, study),
                num_samples=-1,  # the searcher says when it has no more
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
        with signals.gently(conductor.stop):
            tuner.fit()
    session.end()
    asked = conductor.sign.read()
    if conductor.hopeless:
        raise StageFailed(f"{conductor.hopeless}; {len(study.trials())} trials were begun")
    if conductor.stopped or asked is not None:
        raise StudyStopped(conductor.stopped or (asked or {})["why"])
    if searcher.live:  # Ray Tune returns as if it were done when something else has interrupted it
        raise KeyboardInterrupt
    if searcher.closed:
        progress.message(f"the search ends: {searcher.closed}")
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
        note=functools.partial(note_decision, study),
    )
    for row in files.read_jsonl(study.folder / DECISIONS):
        asha.decided[row["rung"], row["number"]] = row["stopped"]
    for trial in study.trials():
        for row in study.history(trial.number):
            if row.get("evaluated") and row["rung"] > 0 and math.isfinite(row["val_accuracy"]):
                asha.record(row["rung"], trial.number, row["val_accuracy"], row["val_accuracy_std"])
    return asha


def note_decision(study: Study, rung: int, number: int, stopped: bool) -> None:
    """Write down whether a trial was stopped at a rung."""
    files.append_jsonl(study.folder / DECISIONS, {"rung": rung, "number": number, "stopped": stopped})


def read_measured(study: Study) -> dict[str, float] | None:
    """What was measured for the space, if it was."""
    path = study.folder / "measured.json"
    return files.read_json(path) if path.exists() else None
