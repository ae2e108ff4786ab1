"""Confirmation: what the search found is distilled anew, ranked on validation, and reported on test.

Three stages on three kinds of data. The search's own values are estimates, the best of many. Re-ranking
distils the top trials with fresh seeds and freezes the winner by validation accuracy. The report
distils winner, default and base with fresh paired seeds and reads test, beside baselines that distil
nothing; it chooses nothing. Real images get the winner's kind of labels, used as the winner uses them, and pixels
with soft labels are evaluated with hard ones too. Arms are compared after equally many optimisation
steps, the winner's: a set of another number of training images is evaluated once more, for as many.
Every distillation leaves a `result.json`, so an interrupted confirmation goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd import files, jobs
from raydd.distillation import baselines
from raydd.errors import StageFailed
from raydd.seeding import derive_seed
from raydd.storage import DistilledSet
from raydd.tuning import cluster, frozen, tasks, waiting
from raydd.tuning.arms import Arm, base_arm, compared_steps, main_net, report_arms, report_seeds, trial_arm
from raydd.tuning.stages import check_assets
from raydd.tuning.studies import settings
from raydd.tuning.summary import figures, summarise, widest_interval

if TYPE_CHECKING:
    from raydd.config import StudyConfig
    from raydd.tuning.plan import Plan
    from raydd.tuning.progress import Progress
    from raydd.tuning.studies import Study


def confirm(
    ray: Any, study: Study, plan: Plan, progress: Progress, *, seeds: int | None = None
) -> dict[str, Any]:
    """Re-rank and report; returns the report and writes `confirm/report.json` and the winner's set.

    Args:
        ray: a connected Ray.
        study: whose trials are done.
        plan: the study's plan.
        progress: the display.
        seeds: report seeds in total; None is `confirm.report_seeds`, or as many as were made before.

    Raises:
        StageFailed: there is no complete trial, or a distillation failed.
    """
    config = plan.config
    best = study.best()
    if best is None:
        raise StageFailed(f"study {study.name} has no complete trial to confirm")
    ranking = rerank(ray, study, plan, progress)
    arms = report_arms(study, plan, int(ranking["winner"]))
    if config.confirm.fit == "train+val":
        remake_assets(ray, study, plan)

    progress.stage("report")
    nets = config.confirm.nets or [config.evaluation.net]
    steps = compared_steps(plan, arms[0])
    limit = max(config.confirm.max_report_seeds, seeds or 0)
    count = max(seeds or config.confirm.report_seeds, finished_seeds(study, arms))
    while True:
        results = run_units(
            ray, study, config, arms, report_seeds(config, count), "report", "test", nets, progress, steps
        )
        report = summarise(study, plan, arms, results, ranking)
        widest = widest_interval(report)
        if widest <= config.confirm.half_width or count >= limit or seeds is not None:
            break
        count = min(limit, count + config.confirm.report_seeds)
    report["half_width"] = widest
    report["stopped"] = (
        f"half-width {config.confirm.half_width:g} reached"
        if widest <= config.confirm.half_width
        else f"{count} seeds made"
    )
    files.write_json(study.folder / "confirm" / "report.json", report)
    winner = study.folder / "confirm" / arms[0].key / "report-0" / "distilled.safetensors"
    DistilledSet.load(winner).save(study.folder / "distilled.safetensors", preview=study.folder / "grid.png")
    return report


def rerank(ray: Any, study: Study, plan: Plan, progress: Progress) -> dict[str, Any]:
    """Distil the top trials, trial 0 and the base with fresh seeds, rank them on validation, freeze the winner."""
    known = frozen.winner(study)
    if known is not None:
        return known
    earlier = frozen.retire(study)
    if earlier is not None:
        progress.message(
            f"trials have joined since the winner was frozen: it is kept in {earlier}, and the confirmation is made "
            f"again; test data were read {study.test_readings()} times so far, and that goes on counting"
        )
    progress.stage("re-rank")
    config = plan.config
    finished = [
        runs[0] for runs in settings(study.trials())
    ]  # a setting is distilled anew, not each replicate
    chosen = finished[: config.confirm.top]
    chosen += [trial for trial in finished if trial.number == 0 and trial not in chosen]
    arms = [trial_arm(trial, plan) for trial in chosen]
    base = base_arm(plan)
    seeds = [
        derive_seed(config.seed, "rerank", index) & 0x7FFFFFFF for index in range(config.confirm.rerank_seeds)
    ]
    net = main_net(config)
    all_arms = [*arms, *([base] if base else [])]
    results = run_units(ray, study, config, all_arms, seeds, "rerank", "val", [net], progress)
    rows = []
    for arm in all_arms:
        runs = [result["nets"][net]["mean"] for result in results[arm.key]]
        rows.append(
            {
                "trial": arm.trial,
                "title": arm.title,
                "short": arm.short if arm.trial is None else f"trial {arm.trial}",
                "runs": runs,
                "mean": sum(runs) / len(runs),
                "net_sd": figures([result["nets"][net] for result in results[arm.key]])["net_sd"],
                "label_regime": results[arm.key][0]["nets"][net]["label_regime"],
            }
        )
    # Soft and hard labels are never ranked together: those of the best search estimate are what was searched for.
    regime = rows[0]["label_regime"]
    alike = [row for row in rows if row["label_regime"] == regime]
    ranked = sorted(
        (row for row in alike if row["trial"] is not None), key=lambda row: (-row["mean"], row["trial"])
    )
    best = study.best()
    assert best is not None
    ranking = {
        "winner": ranked[0]["trial"],
        "candidates": frozen.candidates(study),
        "rows": sorted(rows, key=lambda row: (row["label_regime"] != regime, -row["mean"])),
        "seeds": seeds,
        "search_estimate": {"trial": best.number, "val_accuracy": best.val_accuracy},
    }
    files.write_json(study.folder / "confirm" / frozen.WINNER, ranking)
    return ranking


def finished_seeds(study: Study, arms: Iterable[Arm]) -> int:
    """Report seeds that every arm has a result for, but for those that have one run only."""
    folders = [study.folder / "confirm" / arm.key for arm in arms if arm.paired]
    count = 0
    while all((folder / f"report-{count}" / "result.json").exists() for folder in folders):
        count += 1
    return count


def run_units(
    ray: Any,
    study: Study,
    config: StudyConfig,
    arms: list[Arm],
    seeds: list[int],
    stage: str,
    split: str,
    nets: list[str],
    progress: Progress,
    steps: int | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Results of every (arm, seed), from disk where they exist, otherwise as Ray tasks spread over the cluster.

    Arms are the outer order: where two share a real side, the second finds it in the target bank. What baselines
    share is made first, beside the distillations, and they wait for it. An arm that is not paired has one result.
    `steps` are the optimisation steps after which the others are compared, see `tasks.distil_and_evaluate`.

    Raises:
        StageFailed: a task failed.
    """
    wanted = [(arm, index) for arm in arms for index in range(len(seeds) if arm.paired else 1)]
    missing = [
        (arm, index)
        for arm, index in wanted
        if not finished(unit_folder(study, arm, stage, index), arm, steps)
    ]

    def submit(task: Callable[..., Any], *arguments: Any) -> Any:
        options = cluster.task_options(ray, config.resources)
        return ray.remote(task).options(**options).remote(study.folder, *arguments)

    pending: dict[Any, str] = {}
    prepared: Any = None
    if any(baselines.needs_network(arm.baseline) for arm, _ in missing):
        path = study.folder / "confirm" / "baselines.json"
        if path.exists():
            prepared = files.read_json(path)
        else:
            progress.message(f"training {nets[0]} on all training images, for the baselines")
            prepared = submit(tasks.prepare_baselines, nets[0])
            pending[prepared] = "training the baselines' network"
    for arm, index in missing:
        where = unit_folder(study, arm, stage, index)
        if arm.baseline == "full":
            reference = submit(tasks.evaluate_full, nets[0], where, prepared)
        else:
            waits = prepared if baselines.needs_network(arm.baseline) else None
            reference = submit(
                tasks.distil_and_evaluate, asdict(arm), seeds[index], split, nets, where, waits, steps
            )
        pending[reference] = f"{stage} of {arm.title}"
    total = len(wanted) - len(missing) + len(pending)
    progress.units(stage, total - len(pending), total)
    while pending:
        reference = waiting.first_done(ray, study, pending)
        what = pending.pop(reference)
        try:
            cluster.fetch(ray, reference, f"{what} failed")
        except StageFailed:
            for other in pending:
                ray.cancel(other, force=True)
            raise
        progress.units(stage, total - len(pending), total)
    results: dict[str, list[dict[str, Any]]] = {arm.key: [] for arm in arms}
    for arm, index in wanted:
        results[arm.key].append(files.read_json(unit_folder(study, arm, stage, index) / "result.json"))
    return results


def finished(folder: Path, arm: Arm, steps: int | None = None) -> bool:
    """Whether a unit has its result, made as it would be made now: with the labels of its arm (real images have the
    winner's), and compared after as many optimisation steps, which are the winner's too.
    """
    path = folder / "result.json"
    if not path.exists():
        return False
    result = files.read_json(path)
    compared = arm.baseline == "full" or result.get("compared_steps") == steps
    return bool(result.get("labelled_as", {}) == arm.labelled_as) and compared


def unit_folder(study: Study, arm: Arm, stage: str, index: int) -> Path:
    """Where one distillation of a confirmation lies."""
    return study.folder / "confirm" / arm.key / f"{stage}-{index}"


def remake_assets(ray: Any, study: Study, plan: Plan) -> None:
    """Train the assets on train+val before the report, so that no two tasks do it at once.

    Raises:
        StageFailed: one could not be made, or is not the one that an earlier report used.
    """
    records = []
    for index in range(len(plan.method.assets(plan.context))):
        remote = ray.remote(tasks.make_asset).options(**cluster.task_options(ray, plan.config.resources))
        reference = remote.remote(study.folder, index, "train+val")
        waiting.first_done(ray, study, [reference])
        records.append(cluster.fetch(ray, reference, "an asset could not be made from train+val"))
    if records:
        check_assets(study, records, "train+val")
        check_weights(study, plan, records)


def check_weights(study: Study, plan: Plan, records: Iterable[Mapping[str, Any]]) -> None:
    """Stop where weights from elsewhere are not those of the search any more.

    Raises:
        StageFailed: which weights.
    """
    path = jobs.assets_file(study.folder)
    begun = files.read_json(path) if path.exists() else []
    for spec, record, first in zip(plan.method.assets(plan.context), records, begun):
        if spec.weights and record["sha256"] != first["sha256"]:
            raise StageFailed(
                f"the weights of {spec.net} ({spec.weights}) are not those that study {study.name!r} began with; bring "
                "the old ones back, or start a new study"
            )
