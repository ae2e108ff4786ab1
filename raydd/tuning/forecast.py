"""What a study will take, before it is launched: time, memory and disk, from a trial that was measured in pieces.

Everything is trial 0's, which has the published or the default setting; what others take beside it is their
arithmetic beside trial 0's. Times are seconds of a trial that runs alone.
"""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from raydd import devices, jobs, workload
from raydd.cadence import SMALLEST_STUDY
from raydd.storage import bank
from raydd.tuning import footprint, measurement, shares
from raydd.tuning.measurement import Measured
from raydd.tuning.plan import Plan
from raydd.tuning.trial_cost import TrialCost
from raydd.wording import duration, size

if TYPE_CHECKING:
    from raydd.registry import Scalar

DRAWS = 64  # settings of the space whose arithmetic is compared with trial 0's


def dry_run(plan: Plan, said: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Measure a trial, and forecast the study; nothing is left on disk but caches.

    Args:
        plan: of the study, as `prepare` gives it.
        said: told a line before the trial is measured.

    Returns:
        See `forecast`.

    Raises:
        StudyError: a trial cannot be measured.
    """
    found = plan.measured
    if found is None:
        if said is not None:
            said("measuring a few steps and a short evaluation, which takes about a minute")
        found = measurement.measure(plan.config, plan.points[0].values)
    return forecast(plan, found)


def forecast(plan: Plan, found: Measured) -> dict[str, Any]:
    """Everything that is known of the study before it is launched.

    Args:
        plan: of the study.
        found: what was measured of its trial 0.

    Returns:
        `study`, `measured` (see `Measured`), `concurrency`, `trial`, `stages` and `total` (seconds of all work and of
        the wall clock, CPU-hours and GPU-hours, each for the best and the worst case of early stopping), `memory`
        and `disk` (bytes), `gpus_per_trial` (what is proposed; None on a CPU) and `warnings`; JSON-able.
    """
    config = plan.config
    slots = shares.slots(config, found.gpus) if config.resources.address is None else None
    wanted = config.search.concurrency
    concurrency = max(1, min(slots or wanted or 1, wanted or slots or 1, config.search.trials))
    disk = footprint.disk_use(plan, found, concurrency)
    trial = TrialCost(plan, found, disk["bank_share"])
    stages = study_stages(plan, found, trial, concurrency, slots or concurrency)
    total = {
        case: {name: sum(stage[case][name] for stage in stages) for name in stages[0][case]}
        for case in ("best", "worst")
    }
    memory = footprint.memory_use(found, config.resources.gpus_per_trial, concurrency)
    proposed = None
    if found.device == "cuda":
        cpus = max(1, devices.available_cpus() // config.resources.cpus_per_trial)
        proposed = shares.gpu_share(
            found.gpu_memory, found.gpu_total, cpus=cpus, gpus=found.gpus, wanted=wanted
        )
    result = {
        "study": config.name,
        "method": plan.method.name,
        "unit": plan.method.unit,
        "compiled": plan.context.compiled,
        "measured": asdict(found),
        "cpus_per_trial": config.resources.cpus_per_trial,
        "gpus_per_trial_asked": config.resources.gpus_per_trial,
        "concurrency": concurrency,
        "trial": about_trial(plan, trial),
        "stages": stages,
        "total": total,
        "memory": memory,
        "disk": disk,
        "gpus_per_trial": proposed,
    }
    return {**result, "warnings": warnings(plan, result)}


def about_trial(plan: Plan, trial: TrialCost) -> dict[str, Any]:
    """Seconds of a trial of each kind: the first, which fills the target bank, and `later` ones."""
    resources = plan.config.resources
    whole, later = trial.whole(), trial.whole(later=True)
    judged = sum(trial.judged(each.images) for each in trial.milestones)
    return {
        "iterations": trial.total,
        "seconds": whole,
        "later_seconds": later,
        "process_seconds": trial.found.open + trial.found.warm_up,
        "cpu_hours": whole * resources.cpus_per_trial / 3600,
        "gpu_hours": whole * resources.gpus_per_trial / 3600,
        "evaluation_share": judged / whole,
        "later_evaluation_share": judged / later,
        "rungs": [
            {
                "progress": each.progress,
                "seconds": trial.until(number),
                "later_seconds": trial.until(number, later=True),
            }
            for number, each in enumerate(trial.milestones[:-1])
            if number > 0
        ],
        "bank_unknown": bank_unknown(plan, trial),
        "relative": relative_work(plan),
    }


def bank_unknown(plan: Plan, trial: TrialCost) -> bool:
    """Whether later trials may be shorter by a target bank that too few steps were measured to fill."""
    values = jobs.resolve(plan.method, plan.context, plan.points[0].values).model_dump()
    return (
        trial.found.banked_step is None
        and trial.found.steps < bank.BLOCK <= trial.total
        and not plan.method.finished_ids(plan.context, values)
    )


def relative_work(plan: Plan) -> dict[str, float]:
    """What trials with settings drawn from the space do beside trial 0: arithmetic of the distillation (`least`,
    `mean`, `most`), and training images of an evaluation (`images`, on average).
    """
    method, context = plan.method, plan.context

    def work(values: Mapping[str, Scalar]) -> tuple[float, float]:
        chosen = jobs.resolve(method, context, values).model_dump()
        return workload.distillation(method, context, chosen), method.training_images(context, chosen)

    own, images = work(plan.points[0].values)
    drawn = []
    for number in range(DRAWS):
        try:
            drawn.append(work(plan.space(_Draws(number))))
        except Exception:  # what cannot be run together fails as a trial, and costs nothing
            continue
    distilled = [each / own for each, _ in drawn if own > 0] or [1.0]
    judged = [each / images for _, each in drawn] or [1.0]
    return {
        "least": min(distilled),
        "mean": statistics.fmean(distilled),
        "most": max(distilled),
        "images": statistics.fmean(judged),
    }


class _Draws:
    """Suggests what a random sampler would, and remembers nothing."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        if log:
            return math.exp(self._random.uniform(math.log(low), math.log(high)))
        return self._random.uniform(low, high)

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        if log:
            return min(high, int(math.exp(self._random.uniform(math.log(low), math.log(high + 1)))))
        return self._random.randint(low, high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._random.choice(list(choices))


def study_stages(
    plan: Plan, found: Measured, trial: TrialCost, concurrency: int, slots: int
) -> list[dict[str, Any]]:
    """Stages of the study, each with the cost of its best and of its worst case.

    Args:
        plan, found, trial: of the study.
        concurrency: trials at once.
        slots: tasks at once in the other stages.
    """
    resources = plan.config.resources

    def case(durations: Sequence[float], at_once: int) -> dict[str, float]:
        work = sum(durations)
        return {
            "work_seconds": work,
            "wall_seconds": makespan(durations, at_once),
            "cpu_hours": work * resources.cpus_per_trial / 3600,
            "gpu_hours": work * resources.gpus_per_trial / 3600,
        }

    best, worst = search_durations(plan, found, trial, concurrency)
    stages = [
        ("assets", found.assets, found.assets, slots),
        ("search", best, worst, concurrency),
    ]
    tasks = workload.units(plan.config, plan.method, plan.context, plan.data)
    for stage in ("re-rank", "report"):
        spent = [unit_seconds(unit, trial, plan) for unit in tasks if unit.stage == stage]
        if stage == "report" and plan.config.confirm.fit == "train+val":
            spent += found.assets
        stages.append((stage, spent, spent, slots))
    return [
        {
            "stage": name,
            "units": len(long),
            "best": case(short, at_once),
            "worst": case(long, at_once),
        }
        for name, short, long, at_once in stages
    ]


def search_durations(
    plan: Plan, found: Measured, trial: TrialCost, concurrency: int
) -> tuple[list[float], list[float]]:
    """Seconds of all trials, where as many as possible are stopped at the first rung, and where none is.

    The first trials at once compute the real side, each for itself; later ones read it. A worker process begins with
    its data and a warm-up: once for a slot on a CPU, for every trial on a GPU.
    """
    search, drawn = plan.config.search, relative_work(plan)
    survivors = search.trials
    if search.scheduler == "asha" and search.trials >= SMALLEST_STUDY and len(trial.milestones) > 2:
        survivors = min(search.trials, 2 * search.reduction_factor - 1)  # fewer are never judged
    judged = [trial.judged(each.images) for each in trial.milestones]
    last = len(judged) - 1
    best, worst = [], []
    for number in range(search.trials):
        later, fresh = number >= concurrency, number < concurrency or found.device == "cuda"
        work, images = (1.0, 1.0) if number < len(plan.points) else (drawn["mean"], drawn["images"])
        opened = found.open + found.warm_up if fresh else 0.0
        whole, short = (
            opened
            + (trial.until(end, later=later) - sum(judged[: end + 1])) * work
            + sum(judged[: end + 1]) * images
            for end in (last, 1)
        )
        worst.append(whole)
        best.append(whole if number < survivors else short)
    return best, worst


def unit_seconds(unit: workload.Unit, trial: TrialCost, plan: Plan) -> float:
    """Seconds of one task of the confirmation, by its arithmetic beside the trial's."""
    own = workload.distillation(
        plan.method,
        plan.context,
        jobs.resolve(plan.method, plan.context, plan.points[0].values).model_dump(),
    )
    distilled = 0.0
    if unit.kind != "real":
        share = unit.distilled / own if own > 0 else 1.0
        distilled = share * trial.distilled(later=unit.kind == "again")
    return distilled + trial.judged() * unit.judged / trial.work


def makespan(durations: Sequence[float], slots: int) -> float:
    """Seconds until all are done, `slots` at once, each begun in its order as soon as there is room.

    >>> makespan([3.0, 1.0, 1.0, 2.0], 2)
    4.0
    """
    ends = [0.0] * max(1, slots)
    for seconds in durations:
        heapq.heappush(ends, heapq.heappop(ends) + seconds)
    return max(ends)


def warnings(plan: Plan, result: Mapping[str, Any]) -> list[str]:
    """Sentences about what will not work, or not as asked for."""
    memory, disk, budget = result["memory"], result["disk"], plan.config.budget
    said = []
    if plan.config.resources.address is not None:
        device = "a GPU" if result["measured"]["device"] == "cuda" else "the CPU"
        said.append(
            f"measured on {device} of this machine, and the trials run on a cluster whose machines may differ"
            + (
                ""
                if plan.config.search.concurrency
                else "; reckoned with one trial at once, see --concurrency"
            )
        )
    if memory["at_once"] > memory["machine"]:
        said.append(
            f"{result['concurrency']} trials at once need {size(memory['at_once'])} of memory, and there are "
            f"{size(memory['machine'])}; --concurrency {max(1, memory['fit_at_once'])} fits"
        )
    if memory.get("gpu_peak", 0) > memory.get("gpu_share", 0):
        said.append(
            f"a trial needs {size(memory['gpu_peak'])} of GPU memory, and its share is {size(memory['gpu_share'])}; "
            f"--gpus-per-trial {result['gpus_per_trial']:g} fits"
        )
    if disk["sum"] > disk["free"]:
        said.append(f"the study needs {size(disk['sum'])} on disk, and {size(disk['free'])} are free")
    search = next(stage for stage in result["stages"] if stage["stage"] == "search")
    for name, limit, best in (
        ("hours", budget.hours, search["best"]["wall_seconds"] / 3600),
        ("GPU-hours", budget.gpu_hours, search["best"]["gpu_hours"]),
    ):
        if limit is not None and best > limit:
            said.append(
                f"the budget of {limit:g} {name} ends the search before all trials are done: it takes at least "
                + (f"{best:.1f} {name}" if name != "hours" else duration(search["best"]["wall_seconds"]))
            )
    return said
