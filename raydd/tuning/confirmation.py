"""Confirmation: what the search found is distilled anew, ranked on validation, and reported on test.

Three stages on three kinds of data. The search's own values are estimates, the best of many. Re-ranking
distils the top trials with fresh seeds and freezes the winner by validation accuracy. The report
distils winner, default and base with fresh paired seeds and reads test, beside baselines that distil
nothing; it chooses nothing. Arms are compared after equally many optimisation steps, the winner's: a set
of another number of training images is evaluated once more, for as many. Every distillation leaves a
`result.json`, so an interrupted confirmation goes on where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd import files, jobs, registry
from raydd.distillation import baselines
from raydd.errors import StageFailed
from raydd.evaluation import equal_steps, statistics
from raydd.seeding import derive_seed
from raydd.storage import DistilledSet
from raydd.tuning import cluster, tasks

if TYPE_CHECKING:
    from raydd.config import StudyConfig
    from raydd.registry import Scalar
    from raydd.tuning.plan import Plan
    from raydd.tuning.progress import Progress
    from raydd.tuning.studies import Study, TrialRecord
    from raydd.tuning.tracking import Tracker

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Arm:
    """One of the settings that are compared.

    Attributes:
        key: name of its folder under `confirm/`: a trial's number, `base`, or the baseline's name.
        name: `winner`, `default`, `base` or the baseline's name in the report; empty in the re-ranking.
        title: for tables.
        short: for verdict lines; empty where it is in none.
        method: method that distils, or None for a baseline.
        hyperparameters: that differ from the method's defaults.
        trial: number of the trial it stands for, or None.
        baseline: one of `confirm.baselines`, or None where a method distils.
    """

    key: str
    name: str
    title: str
    short: str
    method: str | None
    hyperparameters: dict[str, Scalar]
    trial: int | None = None
    baseline: str | None = None

    @property
    def paired(self) -> bool:
        """Whether it has a run for every report seed, which others can be compared with; `full` is one network."""
        return self.baseline != "full"


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
    path = study.folder / "confirm" / "winner.json"
    if path.exists():
        return files.read_json(path)
    progress.stage("re-rank")
    config = plan.config
    complete = [
        trial for trial in study.trials() if trial.outcome == "complete" and trial.val_accuracy is not None
    ]
    complete.sort(key=lambda trial: (-(trial.val_accuracy or 0.0), trial.number))
    chosen = complete[: config.confirm.top]
    chosen += [trial for trial in complete if trial.number == 0 and trial not in chosen]
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
            }
        )
    ranked = sorted(
        (row for row in rows if row["trial"] is not None), key=lambda row: (-row["mean"], row["trial"])
    )
    best = study.best()
    assert best is not None
    ranking = {
        "winner": ranked[0]["trial"],
        "rows": sorted(rows, key=lambda row: -row["mean"]),
        "seeds": seeds,
        "search_estimate": {"trial": best.number, "val_accuracy": best.val_accuracy},
    }
    files.write_json(path, ranking)
    return ranking


# -- arms ----------------------------------------------------------------------------------------------


def trial_arm(trial: TrialRecord, plan: Plan, name: str = "") -> Arm:
    """The arm of one trial."""
    default = plan.method.default_name(plan.context)
    title = default if trial.number == 0 else f"{plan.method.name}, trial {trial.number}"
    short = "winner"
    if name == "default":
        short = "carried-over" if "carried over" in default else "default"
    return Arm(str(trial.number), name, title, short, plan.method.name, trial.values, trial.number)


def base_arm(plan: Plan) -> Arm | None:
    """The method that this one stands on, with its own default setting and the study's fixed values; None for a base
    itself.
    """
    name = plan.method.base_of(plan.context)
    if name is None:
        return None
    base = registry.get(name)
    its = jobs.context_for(base, plan.context)
    title = f"{base.title} ({base.default_name(its)})"
    return Arm("base", "base", title, base.name.upper(), name, dict(its.fixed))


def report_arms(study: Study, plan: Plan, winner: int) -> list[Arm]:
    """Winner, default (unless it is the winner), base and baselines."""
    arms = [trial_arm(study.trial(winner), plan, "winner")]
    if winner != 0 and study.trial(0).outcome == "complete":
        arms.append(trial_arm(study.trial(0), plan, "default"))
    base = base_arm(plan)
    arms += [base] if base else []
    return [*arms, *(baseline_arm(name, plan) for name in plan.config.confirm.baselines)]


def baseline_arm(name: str, plan: Plan) -> Arm:
    """The arm of real images that nothing distils; its title says what its figures rest on."""
    config = plan.config
    fitted = plan.data.train_and_val() if config.confirm.fit == "train+val" else plan.data
    spec = baselines.feature_network(main_net(config), fitted, config.confirm.baseline_epochs)
    network = f"{spec.net} trained {spec.recipe['epochs']} epochs"
    coreset = f"features of {network} on all of them; one choice: its runs differ by their nets only"
    title, short = {
        "random": ("randomly chosen real images", "random"),
        "herding": (f"training images chosen by herding ({coreset})", "herding"),
        "k_center": (f"training images chosen by k-center ({coreset})", "k-center"),
        "full": (f"all training data, {network} (one net, not by the protocol above, in no difference)", ""),
    }[name]
    return Arm(name, name, title, short, None, {}, baseline=name)


# -- running -------------------------------------------------------------------------------------------


def report_seeds(config: StudyConfig, count: int) -> list[int]:
    """The first `count` report seeds: fresh, the same for all arms."""
    return [derive_seed(config.seed, "report", index) & 0x7FFFFFFF for index in range(count)]


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
        if not (unit_folder(study, arm, stage, index) / "result.json").exists()
    ]

    def submit(task: Callable[..., Any], *arguments: Any) -> Any:
        options = {**cluster.task_options(config.resources), "max_retries": 1}
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
        (reference,), _ = ray.wait(list(pending), num_returns=1)
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


def unit_folder(study: Study, arm: Arm, stage: str, index: int) -> Path:
    """Where one distillation of a confirmation lies."""
    return study.folder / "confirm" / arm.key / f"{stage}-{index}"


def remake_assets(ray: Any, study: Study, plan: Plan) -> None:
    """Train the assets on train+val before the report, so that no two tasks do it at once."""
    remote = ray.remote(tasks.make_asset).options(**cluster.task_options(plan.config.resources))
    for index in range(len(plan.method.assets(plan.context))):
        cluster.fetch(
            ray, remote.remote(study.folder, index, "train+val"), "an asset could not be made from train+val"
        )


# -- numbers -------------------------------------------------------------------------------------------


def main_net(config: StudyConfig) -> str:
    """The architecture that decides the winner and the headline."""
    return (config.confirm.nets or [config.evaluation.net])[0]


def compared_steps(plan: Plan, winner: Arm) -> int:
    """Optimisation steps of a network that is trained on the winner's images for the study's epochs."""
    config = plan.config
    values = jobs.resolve(plan.method, plan.context, winner.hyperparameters).model_dump()
    return equal_steps.optimisation_steps(
        config.evaluation.protocol or plan.method.protocol,
        config.confirm.epochs or config.evaluation.epochs,
        plan.method.training_images(plan.context, values),
    )


def summarise(
    study: Study,
    plan: Plan,
    arms: list[Arm],
    results: Mapping[str, list[dict[str, Any]]],
    ranking: Mapping[str, Any],
) -> dict[str, Any]:
    """The report as plain values; the unit of replication is the distillation run.

    Differences are those after equally many optimisation steps. Holm's correction treats those with the coresets
    as a family of their own: they say whether choosing real images would do, not whether the search or the
    method does anything, and must not cost those questions their power.
    """
    config = plan.config
    nets = config.confirm.nets or [config.evaluation.net]
    rows, runs = [], {}
    for net in nets:
        for arm in arms:
            values = [result["nets"][net] for result in results[arm.key] if net in result["nets"]]
            if not values:  # the network that was trained on all data is of one architecture
                continue
            equal = [value.get("equal_steps", value) for value in values]
            runs[arm.name, net] = [value["mean"] for value in equal]
            again = any("equal_steps" in value for value in values)
            rows.append(
                {
                    "name": arm.name,
                    "title": arm.title,
                    "method": arm.method,
                    "baseline": arm.baseline,
                    "trial": arm.trial,
                    "hyperparameters": arm.hyperparameters,
                    "net": net,
                    **figures(values),
                    "equal_steps": figures(equal) if again else None,
                    "diverged": sum(bool(result["diverged"]) for result in results[arm.key]),
                    "label_regime": values[0]["label_regime"],
                    "bytes": results[arm.key][0]["bytes"],
                }
            )
    net = nets[0]
    first = results[arms[0].key][0]["nets"][net]
    by_name = {arm.name: arm for arm in arms}
    pairs = [("winner", arm.name) for arm in arms[1:] if arm.paired]
    if "random" in by_name:  # whether distilling pays at all, without what was tuned
        pairs += [(name, "random") for name in ("default", "base") if name in by_name]
    compared = [statistics.paired(runs[a, net], runs[b, net]) for a, b in pairs]
    adjusted = holm_in_families(pairs, [difference.p for difference in compared])
    return {
        "protocol": {
            "name": first["protocol"],
            "epochs": first["epochs"],
            "repeats": config.confirm.repeats,
            "split": "test",
        },
        "label_regime": first["label_regime"],
        "fit": config.confirm.fit,
        "compared_steps": compared_steps(plan, arms[0]),
        "seeds": report_seeds(config, len(runs["winner", net])),
        "winner": {
            "trial": ranking["winner"],
            "hyperparameters": study.trial(int(ranking["winner"])).hyperparameters,
        },
        "default_name": plan.method.default_name(plan.context),
        "arms": rows,
        "differences": [
            {
                "a": a,
                "b": b,
                "net": net,
                "mean": difference.mean,
                "low": difference.low,
                "high": difference.high,
                "half_width": (difference.high - difference.low) / 2,
                "p": difference.p,
                "adjusted_p": p,
                "resolved": p < 1 - CONFIDENCE and not difference.low <= 0.0 <= difference.high,
                "text": statistics.verdict(by_name[a].short, by_name[b].short, difference, p),
            }
            for (a, b), difference, p in zip(pairs, compared, adjusted)
        ],
        "test_readings": study.test_readings(),
        "rerank": ranking["rows"],
        "search_estimate": ranking["search_estimate"],
    }


def figures(values: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread of an arm over its runs on one net, and how long that was trained."""
    means = [value["mean"] for value in values]
    interval = statistics.interval(means, CONFIDENCE)
    sds = [value["net_sd"] for value in values if math.isfinite(value["net_sd"])]
    return {
        "runs": means,
        "net_sd": math.sqrt(sum(sd**2 for sd in sds) / len(sds)) if sds else None,
        **asdict(interval),
        "epochs": max(value["epochs"] for value in values),
        "optimisation_steps": max(value["optimisation_steps"] for value in values),
    }


def holm_in_families(pairs: list[tuple[str, str]], ps: list[float]) -> list[float]:
    """Adjusted p in the order given; pairs with a coreset are one family, all others another."""
    adjusted = list(ps)
    for coresets in (False, True):
        family = [place for place, (_, b) in enumerate(pairs) if (b in baselines.CORESETS) == coresets]
        for place, p in zip(family, statistics.holm([ps[place] for place in family])):
            adjusted[place] = p
    return adjusted


def widest_interval(report: Mapping[str, Any]) -> float:
    """Half-width of the winner's widest paired difference; of its own accuracy where it is compared with nothing."""
    winner = report["arms"][0]
    own = (winner["high"] - winner["low"]) / 2
    return max((part["half_width"] for part in report["differences"] if part["a"] == "winner"), default=own)


def track(tracker: Tracker, study: Study, report: Mapping[str, Any]) -> None:
    """Put the report on the study's parent run, the confirmed figure as the headline."""
    net = report["arms"][0]["net"]
    metrics = {"search/val_accuracy": report["search_estimate"]["val_accuracy"]}
    for arm in report["arms"]:
        if arm["net"] == net:
            prefix = "confirmed" if arm["name"] == "winner" else arm["name"]
            shown = {"test_accuracy": arm["mean"], "low": arm["low"], "high": arm["high"]}
            if arm["equal_steps"] is not None:
                shown["equal_steps_test_accuracy"] = arm["equal_steps"]["mean"]
            metrics |= {f"{prefix}/{name}": value for name, value in shown.items() if math.isfinite(value)}
    tracker.log_study(metrics, tags={"raydd.winner": str(report["winner"]["trial"])})
    tracker.study_artifacts(
        {
            "distilled/grid.png": study.folder / "grid.png",
            "distilled/distilled.safetensors": study.folder / "distilled.safetensors",
            "confirm/report.json": study.folder / "confirm" / "report.json",
        }
    )
