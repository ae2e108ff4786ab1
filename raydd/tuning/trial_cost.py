"""What a trial with trial 0's setting takes, put together from its measured parts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from raydd import jobs, workload
from raydd.cadence import REPORTS, Cadence
from raydd.evaluation import protocols
from raydd.tuning.measurement import Measured
from raydd.tuning.plan import Plan

if TYPE_CHECKING:
    from raydd.registry import Context, Method


class Milestone(NamedTuple):
    """An evaluation of a trial: after which share of its iterations, and of how many training images."""

    progress: float
    images: int


def milestones(
    method: Method, context: Context, values: Mapping[str, Any], rungs: Sequence[float]
) -> list[Milestone]:
    """Evaluations of a full trial: the initial images, the rungs that fall on iterations of their own, and the end.

    Args:
        method, context, values: of the trial; `values` are those of all hyperparameters.
        rungs: progress values, ascending.
    """
    whole, parts = method.training_images(context, values), method.finished_ids(context, values)
    if parts:
        reached = {min(ids for ids in parts if ids >= rung * context.ipc - 1e-9) for rung in rungs}
        way = [
            Milestone(ids / context.ipc, method.training_images(replace(context, ipc=ids), values))
            for ids in sorted(reached - {context.ipc})
        ]
    else:
        total = method.total_iterations(context, values)
        steps = {math.ceil(rung * total - 1e-9) for rung in rungs}
        way = [Milestone(step / total, whole) for step in sorted(steps - {total})]
    return [Milestone(0.0, whole), *way, Milestone(1.0, whole)]


class TrialCost:
    """Seconds of a trial with trial 0's setting.

    Args:
        plan: of the study.
        found: what was measured.
        banked: share of the iterations whose real side later trials read, in [0, 1].
    """

    def __init__(self, plan: Plan, found: Measured, banked: float) -> None:
        config, method, context = plan.config, plan.method, plan.context
        self.found, self.banked = found, 0.0 if found.banked_step is None else banked
        values = jobs.resolve(method, context, plan.points[0].values).model_dump()
        self.total = method.total_iterations(context, values)
        cadence = Cadence.of(
            self.total,
            scheduler=config.search.scheduler,
            reduction_factor=config.search.reduction_factor,
            progress_floor=method.progress_floor,
        )
        self.milestones = milestones(method, context, values, cadence.rungs)
        settings = config.evaluation
        self.work = workload.evaluation(
            settings.net,
            plan.data,
            protocol=settings.protocol or method.protocol_for(context),
            epochs=settings.epochs,
            images=self.milestones[-1].images,
            repeats=settings.repeats,
            split="val",
            teacher=workload.labelling_net(values),
        )
        protocol = settings.protocol or method.protocol_for(context)
        self.passes = _passes(protocol, settings.epochs)

    def step(self, later: bool) -> float:
        """Of an iteration, on average, of the first trial or of a later one."""
        if not later or self.found.banked_step is None:
            return self.found.step
        return self.banked * self.found.banked_step + (1.0 - self.banked) * self.found.step

    def distilled(self, progress: float = 1.0, *, later: bool = False) -> float:
        """Of all iterations up to `progress`, and of the distiller's start."""
        iterations = progress * self.total
        begun = math.ceil(iterations / self.found.period - 1e-9) if self.found.period else 0
        return self.found.start + iterations * self.step(later) + begun * self.found.renewal

    def judged(self, images: int | None = None) -> float:
        """Of one evaluation of a set of `images` training images; None is a whole set."""
        share = 1.0 if images is None else images / self.milestones[-1].images
        return self.found.evaluation + self.passes * self.found.epoch * share

    def until(self, number: int, *, later: bool = False) -> float:
        """Up to evaluation `number` of `milestones`, which is made too; checkpoints included."""
        progress = self.milestones[number].progress
        judged = sum(self.judged(each.images) for each in self.milestones[: number + 1])
        saved = math.ceil(progress * min(REPORTS, self.total)) * self.found.checkpoint
        return self.distilled(progress, later=later) + judged + saved

    def whole(self, *, later: bool = False) -> float:
        """Of a complete trial."""
        return self.until(len(self.milestones) - 1, later=later)


def _passes(protocol: str, epochs: int | None) -> int:
    return protocols.get(protocol).recipe("", epochs).epochs
