"""How much network arithmetic a run is, in GFLOP: counted from its configuration, so that equal runs count alike.

What the target bank saves and what a scheduler stops early is counted as if it were computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from raydd import jobs, nets, registry
from raydd.cadence import Cadence
from raydd.distillation import baselines
from raydd.errors import ConfigError, unknown
from raydd.evaluation import equal_steps, protocols
from raydd.evaluation.evaluator import SPLITS

if TYPE_CHECKING:
    from raydd.config import StudyConfig
    from raydd.data import DataSplits
    from raydd.registry import Context, Method

TRAINING = 3  # forward passes that a training step is worth: with the gradients of activations and of weights


def forward(net: str, data: DataSplits) -> float:
    """One image's way through a network."""
    return nets.gigaflops(net, channels=data.channels, size=data.size, classes=data.classes)


def evaluation(
    net: str,
    data: DataSplits,
    *,
    protocol: str,
    epochs: int | None,
    images: int,
    repeats: int,
    split: str,
    teacher: str | None = None,
) -> float:
    """Training `repeats` networks on `images` images and testing each on `split`; see `raydd.evaluate`.

    A `teacher`, a network specification, labels every image of every epoch, after it was augmented and mixed. That it
    is tested too, once for all evaluations of a process, is left out.

    Raises:
        ConfigError: an unknown net, protocol or split.
    """
    if split not in SPLITS:
        raise ConfigError(f"split: {unknown('split', split, SPLITS)}")
    passes = protocols.get(protocol).recipe("", epochs).epochs
    own = (TRAINING * passes * images + len(getattr(data, split))) * forward(net, data)
    labels = 0.0 if teacher is None else passes * images * forward(teacher, data)
    return repeats * (own + labels)


def assets(method: Method, context: Context, data: DataSplits) -> float:
    """Training the networks that a method stands on, whether or not they are there already; weights from elsewhere
    cost nothing.
    """
    return sum(
        TRAINING * spec.count * spec.recipe["epochs"] * len(data.train) * forward(spec.net, data)
        for spec in method.assets(context)
        if not spec.weights
    )


def distillation(method: Method, context: Context, values: Mapping[str, Any]) -> float:
    """One distillation; `values` are those of all hyperparameters."""
    return method.total_iterations(context, values) * method.gigaflops(context, values)


def study(config: StudyConfig, method: Method, context: Context, data: DataSplits) -> float:
    """A whole study: assets, full trials as trial 0 is one, re-ranking, and the report with its first seeds."""
    total = assets(method, context, data)
    total += search(config, method, context, data)
    total += confirmation(config, method, context, data)
    if config.confirm.fit == "train+val":
        total += assets(method, context, data.train_and_val())
    return total


def search(config: StudyConfig, method: Method, context: Context, data: DataSplits) -> float:
    """All trials: distilled to the end, and evaluated as initial images, at every rung and at the end."""
    settings = config.evaluation
    cadence = Cadence.of(
        context.iterations,
        scheduler=config.search.scheduler,
        reduction_factor=config.search.reduction_factor,
        progress_floor=method.progress_floor,
    )
    values = method.defaults(context).model_dump()
    judged = sum(
        evaluation(
            settings.net,
            data,
            protocol=settings.protocol or method.protocol_for(context),
            epochs=settings.epochs,
            images=images,
            repeats=settings.repeats,
            split="val",
            teacher=labelling_net(values),
        )
        for images in judged_images(method, context, values, cadence.rungs)
    )
    return config.search.trials * (distillation(method, context, values) + judged)


def judged_images(
    method: Method, context: Context, values: Mapping[str, Any], rungs: Sequence[float]
) -> list[int]:
    """Training images of the set at every evaluation of a full trial: the initial images, the rungs, and the end.

    Where images are made one after the other, a rung is judged when so many ids are finished, and by those alone: rungs
    that one id crosses are one evaluation, and what the last id crosses is the end.
    """
    whole, parts = method.training_images(context, values), method.finished_ids(context, values)
    if not parts:
        return [whole] * (len(rungs) + 2)
    reached = {min(ids for ids in parts if ids >= rung * context.ipc - 1e-9) for rung in rungs}
    way = [replace(context, ipc=ids) for ids in sorted(reached - {context.ipc})]
    return [whole, *(method.training_images(part, values) for part in way), whole]


class Arm(NamedTuple):
    """What a confirmation compares: GFLOP of one distillation, images of a set, and who labels it."""

    work: float
    images: int
    soft: bool = False
    teacher: str | None = None


def arm(method: Method, context: Context, values: Mapping[str, Any]) -> Arm:
    """A method's; `values` are those of all hyperparameters."""
    return Arm(
        distillation(method, context, values),
        method.training_images(context, values),
        values.get("labels", "hard") != "hard",
        labelling_net(values),
    )


def labelling_net(values: Mapping[str, Any]) -> str | None:
    """Network specification of the teacher that labels every batch, as the hyperparameters `labels` and `teacher` of
    soft-label methods say; None where no teacher does.
    """
    return values["teacher"] if values.get("labels") == "online" else None


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


def confirmation(config: StudyConfig, method: Method, context: Context, data: DataSplits) -> float:
    """Re-ranking on validation data, then the report on test data with as many seeds as it has at least."""
    return sum(unit.distilled + unit.judged for unit in units(config, method, context, data))


def units(config: StudyConfig, method: Method, context: Context, data: DataSplits) -> list[Unit]:
    """All tasks of a confirmation with its first report seeds, in the order in which they are run.

    Winner and top trials count as trial 0, whose values are known. Sets of another size than the winner's are
    judged a second time in the report, after as many optimisation steps as the winner's; sets with soft labels once
    more with hard ones, coresets aside.
    """
    confirm, architectures = config.confirm, config.confirm.nets or [config.evaluation.net]
    protocol = config.evaluation.protocol or method.protocol_for(context)
    epochs = confirm.epochs or config.evaluation.epochs
    own = arm(method, context, method.defaults(context).model_dump())
    steps = equal_steps.optimisation_steps(protocol, epochs, own.images)

    def judged(net: str, split: str, which: Arm, last: int | None = epochs, hard: bool = False) -> float:
        return evaluation(
            net,
            data,
            protocol=protocol,
            epochs=last,
            images=which.images,
            repeats=confirm.repeats,
            split=split,
            teacher=None if hard else which.teacher,
        )

    def reported(which: Arm, hard: bool) -> float:
        """Evaluations of an arm of the report with one seed: once or twice, and maybe with hard labels."""
        again = equal_steps.other_epochs(protocol, epochs, which.images, steps)
        passes = [epochs] if again is None else [epochs, again]
        total = sum(judged(net, "test", which, last) for net in architectures for last in passes)
        return total + sum(judged(net, "test", which, hard=True) for net in architectures if hard)

    base = base_arm(method, context)
    ranked = min(confirm.top + 1, config.search.trials)  # trial 0 is always among them
    tuned = min(2, config.search.trials)  # the winner, and trial 0 if it is another
    found: list[Unit] = []
    for stage, count, seeds in (
        ("re-rank", ranked, confirm.rerank_seeds),
        ("report", tuned, confirm.report_seeds),
    ):
        arms = [(own, "own" if number == 0 else "again") for number in range(count)]
        arms += [(base, "base")] if base else []
        for which, kind in arms:
            first = stage == "re-rank"
            work = judged(architectures[0], "val", which) if first else reported(which, which.soft)
            found += [Unit(stage, which.work, work, kind)] * seeds
    real = own._replace(work=0.0, images=context.classes * context.ipc)  # with the labels of the same teacher
    for name in confirm.baselines:
        if name != "full":
            work = reported(real, real.soft and name == "random")
            found += [Unit("report", 0.0, work, "real")] * confirm.report_seeds
    network = baseline_network(config, data, architectures[0])
    return [*found, Unit("report", 0.0, network, "real")] if network else found


def base_arm(method: Method, context: Context) -> Arm | None:
    """What the method is compared with: its base at default values, where it has one."""
    name = method.base_of(context)
    if name is None:
        return None
    base = registry.get(name)
    its = jobs.context_for(base, context)
    return arm(base, its, base.defaults(its).model_dump())


def baseline_network(config: StudyConfig, data: DataSplits, net: str) -> float:
    """Training the network that baselines share, its features of all training images, and its test."""
    names = [name for name in config.confirm.baselines if baselines.needs_network(name)]
    if not names:
        return 0.0
    fitted = data.train_and_val() if config.confirm.fit == "train+val" else data
    spec = baselines.feature_network(net, fitted, config.confirm.baseline_epochs)
    images = TRAINING * spec.recipe["epochs"] * len(fitted.train)
    images += len(fitted.train) if set(names) & set(baselines.CORESETS) else 0
    images += len(data.test) if "full" in names else 0
    return images * forward(net, data)
