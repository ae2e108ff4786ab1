"""How much network arithmetic a run is, in GFLOP: counted from its configuration, so that equal runs count alike.

What the target bank saves and what a scheduler stops early is counted as if it were computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raydd import nets, registry
from raydd.cadence import Cadence
from raydd.distillation import baselines
from raydd.errors import ConfigError, unknown
from raydd.evaluation import protocols
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
) -> float:
    """Training `repeats` networks on `images` images and testing each on `split`; see `raydd.evaluate`.

    Raises:
        ConfigError: an unknown net, protocol or split.
    """
    if split not in SPLITS:
        raise ConfigError(f"split: {unknown('split', split, SPLITS)}")
    passes = protocols.get(protocol).recipe("", epochs).epochs
    return repeats * (TRAINING * passes * images + len(getattr(data, split))) * forward(net, data)


def assets(method: Method, context: Context, data: DataSplits) -> float:
    """Training the networks that a method stands on, whether or not they are there already."""
    return sum(
        TRAINING * spec.count * spec.recipe["epochs"] * len(data.train) * forward(spec.net, data)
        for spec in method.assets(context)
    )


def distillation(method: Method, context: Context, values: Mapping[str, Any]) -> float:
    """One distillation; `values` are those of all hyperparameters."""
    return context.iterations * method.gigaflops(context, values)


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
    judged = evaluation(
        settings.net,
        data,
        protocol=settings.protocol or method.protocol,
        epochs=settings.epochs,
        images=context.classes * context.ipc,
        repeats=settings.repeats,
        split="val",
    )
    own = distillation(method, context, method.defaults(context).model_dump())
    return config.search.trials * (own + (len(cadence.rungs) + 2) * judged)


def confirmation(config: StudyConfig, method: Method, context: Context, data: DataSplits) -> float:
    """Re-ranking on validation data, then the report on test data with as many seeds as it has at least."""
    settings, confirm = config.evaluation, config.confirm
    own = distillation(method, context, method.defaults(context).model_dump())
    base, others = 0.0, 0
    if method.base is not None:
        other = registry.get(method.base)
        names = other.hyperparameters.model_fields
        its = replace(context, fixed={name: context.fixed[name] for name in context.fixed if name in names})
        base, others = distillation(other, its, other.defaults(its).model_dump()), 1

    def judged(net: str, split: str) -> float:
        return evaluation(
            net,
            data,
            protocol=settings.protocol or method.protocol,
            epochs=confirm.epochs or settings.epochs,
            images=context.classes * context.ipc,
            repeats=confirm.repeats,
            split=split,
        )

    architectures = confirm.nets or [settings.net]
    ranked = min(confirm.top + 1, config.search.trials)  # trial 0 is always among them
    reported = min(2, config.search.trials)  # the winner, and trial 0 if it is another
    chosen = [name for name in confirm.baselines if name != "full"]  # judged as sets, and not distilled
    arms = reported + others + len(chosen)
    rerank = ranked * own + base + (ranked + others) * judged(architectures[0], "val")
    report = reported * own + base + arms * sum(judged(net, "test") for net in architectures)
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
