"""What a confirmation will run, one unit a Ray task, with the network arithmetic of each: the shape of its cost."""

from __future__ import annotations

from typing import NamedTuple

from raydd import jobs, registry, workload
from raydd.evaluation import equal_steps
from raydd.tuning.plan import Plan
from raydd.workload import Arm


class Unit(NamedTuple):
    """One task of a confirmation.

    Attributes:
        stage: `re-rank` or `report`.
        distilled: GFLOP of its distillation, 0 for real images.
        judged: GFLOP of its evaluations, and for `full` of the network that is trained on all images.
        kind: `own`, `again` (own, and another arm of the same seed has filled the target bank), `base`, or `real`.
    """

    stage: str
    distilled: float
    judged: float
    kind: str


def confirmation(plan: Plan) -> list[Unit]:
    """All units of a confirmation with its first report seeds, in the order in which they are run.

    `raydd.workload.confirmation` is their sum.
    """
    config, method, context, data = plan.config, plan.method, plan.context, plan.data
    confirm, nets = config.confirm, config.confirm.nets or [config.evaluation.net]
    protocol = config.evaluation.protocol or method.protocol_for(context)
    epochs = confirm.epochs or config.evaluation.epochs
    own = workload.arm(method, context, method.defaults(context).model_dump())
    steps = equal_steps.optimisation_steps(protocol, epochs, own.images)

    def judged(net: str, split: str, arm: Arm, last: int | None, hard: bool = False) -> float:
        return workload.evaluation(
            net,
            data,
            protocol=protocol,
            epochs=last,
            images=arm.images,
            repeats=confirm.repeats,
            split=split,
            teacher=None if hard else arm.teacher,
        )

    def reported(arm: Arm, hard: bool) -> float:
        again = equal_steps.other_epochs(protocol, epochs, arm.images, steps)
        passes = [epochs] if again is None else [epochs, again]
        total = sum(judged(net, "test", arm, last) for net in nets for last in passes)
        return total + sum(judged(net, "test", arm, epochs, hard=True) for net in nets if hard)

    base = _base(plan)
    ranked = min(confirm.top + 1, config.search.trials)  # trial 0 is always among them
    tuned = min(2, config.search.trials)  # the winner, and trial 0 if it is another
    units = []
    for stage, count, seeds in (
        ("re-rank", ranked, confirm.rerank_seeds),
        ("report", tuned, confirm.report_seeds),
    ):
        arms = [(own, "own" if number == 0 else "again") for number in range(count)]
        arms += [(base, "base")] if base else []
        for arm, kind in arms:
            work = judged(nets[0], "val", arm, epochs) if stage == "re-rank" else reported(arm, arm.soft)
            units += [Unit(stage, arm.work, work, kind)] * seeds
    real = own._replace(work=0.0, images=context.classes * context.ipc)
    for name in confirm.baselines:
        if name != "full":
            work = reported(real, real.soft and name == "random")
            units += [Unit("report", 0.0, work, "real")] * confirm.report_seeds
    network = workload.baseline_network(config, data, nets[0])
    return [*units, Unit("report", 0.0, network, "real")] if network else units


def _base(plan: Plan) -> Arm | None:
    name = plan.method.base_of(plan.context)
    if name is None:
        return None
    base = registry.get(name)
    its = jobs.context_for(base, plan.context)
    return workload.arm(base, its, base.defaults(its).model_dump())
