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


def confirmation(config: StudyConfig, method: Method, context: Context, data: DataSplits) -> float:
    """Re-ranking on validation data, then the report on test data with as many seeds as it has at least.

    Winner and top trials count as trial 0, whose values are known. Sets of another size than the winner's are
    judged a second time in the report, after as many optimisation steps as the winner's; sets with soft labels once
    more with hard ones, coresets aside.
    """
    settings, confirm = config.evaluation, config.confirm
    protocol, epochs = settings.protocol or method.protocol_for(context), confirm.epochs or settings.epochs
    own = arm(method, context, method.defaults(context).model_dump())
    others: list[Arm] = []  # what is compared with the method: here its base
    name = method.base_of(context)
    if name is not None:
        base = registry.get(name)
        its = jobs.context_for(base, context)
        others = [arm(base, its, base.defaults(its).model_dump())]

    def judged(net: str, split: str, which: Arm, epochs: int | None = epochs, hard: bool = False) -> float:
        return evaluation(
            net,
            data,
            protocol=protocol,
            epochs=epochs,
            images=which.images,
            repeats=confirm.repeats,
            split=split,
            teacher=None if hard else which.teacher,
        )

    def reported(which: Arm, hard: bool) -> float:
        """An arm of the report with one seed: distilled, judged once or twice, and maybe with hard labels."""
        again = equal_steps.other_epochs(protocol, epochs, which.images, steps)
        passes = [epochs] if again is None else [epochs, again]
        total = which.work + sum(judged(net, "test", which, last) for net in architectures for last in passes)
        return total + sum(judged(net, "test", which, hard=True) for net in architectures if hard)

    architectures = confirm.nets or [settings.net]
    steps = equal_steps.optimisation_steps(protocol, epochs, own.images)
    ranked = [own] * min(confirm.top + 1, config.search.trials)  # trial 0 is always among them
    tuned = [own] * min(2, config.search.trials)  # the winner, and trial 0 if it is another
    real = own._replace(work=0.0, images=context.classes * context.ipc)  # with the labels of the same teacher
    rerank = sum(each.work + judged(architectures[0], "val", each) for each in ranked + others)
    report = sum(reported(each, each.soft) for each in tuned + others)
    report += sum(
        reported(real, real.soft and name == "random") for name in confirm.baselines if name != "full"
    )
    return (
        confirm.rerank_seeds * rerank
        + confirm.report_seeds * report
        + baseline_network(config, data, architectures[0])
    )


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
