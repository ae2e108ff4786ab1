"""`evaluate`: train fresh networks on a distilled set and test them on a split of real data."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raydd import devices, nets
from raydd.errors import ConfigError, DataError, unknown
from raydd.evaluation import labelling, protocols
from raydd.seeding import generator
from raydd.training import TensorSource, accuracies, fit_all

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.storage import DistilledSet

TOGETHER_GIGAFLOPS = 130.0
"""Forward arithmetic of a step of networks that a GPU trains side by side: five ConvNets with 256 images at 32 px."""

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Evaluation:
    """Accuracies of the networks trained on one distilled set; fractions in [0, 1].

    Attributes:
        values: one top-1 accuracy a network, after its last epoch.
        mean: of `values`.
        std: sample standard deviation (ddof 1) over networks, NaN for one network. It is no measure of a
            method's spread, whose unit is the distillation run.
        net: network specification.
        protocol: name of the protocol.
        epochs: E of the protocol; `dc` and `dsa` run E + 1 epochs, `idc` runs E.
        split: the data that was tested on.
        optimisation_steps: SGD steps of one network.
        seconds: wall time of the whole evaluation; not compared.
        label_regime: `hard` or `soft`; the two never share a ranking.
        temperature: T of the soft labels; 1 with hard ones.
        teacher_accuracy: of the teacher whose soft labels were used, on the same split; None with hard labels, and
            where the set can be used without its teacher, which is not here.
        teacher_mode: of a teacher that labelled every batch, `eval` or `train`; None where none did.
        input_side: pixels along a side of what the network takes, which is more than the images' where its
            architecture enlarges them; None in evaluations of earlier versions.
        precision, compiled: how the networks were computed, see `raydd.devices.Compute`.
    """

    values: tuple[float, ...]
    mean: float
    std: float
    net: str
    protocol: str
    epochs: int
    split: str
    optimisation_steps: int
    seconds: float = field(compare=False)
    label_regime: str = "hard"
    temperature: float = 1.0
    teacher_accuracy: float | None = None
    teacher_mode: str | None = None
    input_side: int | None = None
    precision: str = "fp32"
    compiled: bool = False


def evaluate(
    distilled: DistilledSet,
    data: DataSplits,
    *,
    net: str = "convnet",
    protocol: str | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    repeats: int = 5,
    seed: int = 0,
    split: str = "test",
    device: str = "auto",
    precision: str = "fp32",
    compiled: bool = False,
    allow_other_data: bool = False,
    labels: str | None = None,
    temperature: float | None = None,
    teacher_mode: str | None = None,
) -> Evaluation:
    """Train `repeats` networks from scratch on a distilled set and test each on one split.

    Network i is drawn, its batches ordered and augmented by streams of (seed, "evaluation/...", i) alone, so
    it does not depend on `repeats`, and an evaluation consumes no stream of a distiller. Stored soft labels are those
    of one stream of batches, which all networks then see. On a GPU networks are trained side by side where their
    kind allows it, which changes rounding.

    Args:
        distilled: the set; its normalisation is used throughout.
        data: the splits it was distilled from.
        net: network specification, see `raydd.nets.validate`.
        protocol: name of a protocol; None is the set's own.
        epochs: E of the protocol; None is the set's own where its protocol is used, else the protocol's.
        steps: instead of `epochs`: optimisation steps of one network, >= 1, to compare sets of different size
            after as many; E becomes the number of epochs that comes nearest, at least 1.
        repeats: networks, >= 1.
        seed: of everything that is drawn here.
        split: `train`, `val` or `test`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: `fp32`; or `mixed` or `bf16`, which both train and test in bfloat16 with float32 weights.
        compiled: whether the networks run through `torch.compile`.
        allow_other_data: test on data with another fingerprint than the set was distilled from.
        labels: `soft` or `hard`; None is what the set has. With hard labels the same images are trained on by the same
            protocol with their classes, at temperature 1.
        temperature: T of soft labels, in [0.01, 10000]; None is the set's own, else the protocol's.
        teacher_mode: `eval` or `train` for a teacher that labels every batch; None is the set's own, else `eval`.

    Raises:
        ConfigError: an unknown net, protocol, split, device or precision, a number out of range, both `epochs` and
            `steps`, or labels that the set does not have.
        DataError: `data` is not what the set was distilled from, or its images or classes do not fit.
        ArtifactError: the teacher that labels the set's batches is not here.
    """
    if split not in SPLITS:
        raise ConfigError(f"split: {unknown('split', split, SPLITS)}")
    if repeats < 1:
        raise ConfigError(f"evaluation.repeats: must be at least 1, got {repeats}")
    nets.validate(net)
    own = distilled.recipe
    name = own["protocol"] if protocol is None else protocol
    chosen = protocols.get(name)
    if epochs is not None and steps is not None:
        raise ConfigError(f"evaluation.steps: give steps or epochs, not both (got {steps} and {epochs})")
    started = time.perf_counter()
    images = distilled.images()
    if steps is not None:
        epochs = chosen.epochs_near(steps, len(images))
    elif epochs is None:
        epochs = own["epochs"] if name == own["protocol"] and own["epochs"] is not None else chosen.epochs
    regime = labelling.label_regime(distilled, labels)
    recipe = labelling.recipe_for(distilled, chosen, regime, epochs, temperature)
    _check_fits(distilled, tuple(images.shape[1:]), data, split, allow_other_data)

    compute = devices.Compute(devices.resolve(device), precision, compiled)
    given = labelling.labelling(distilled, regime, recipe, name, teacher_mode, compute)
    source = TensorSource(images.to(compute.device), given.targets.to(compute.device), distilled.classes)
    networks = [
        nets.build(
            net,
            channels=data.channels,
            size=data.size,
            classes=data.classes,
            generator=generator(seed, "evaluation/net", i),
        )
        for i in range(repeats)
    ]
    stream, purposes = seed, [f"evaluation/{i}" for i in range(repeats)]
    if given.stream is not None:
        stream, purposes = given.stream[0], [given.stream[1]] * repeats
    together = 1
    if compute.device.type == "cuda" and nets.Ensemble.supports(networks[0]):
        work = nets.gigaflops(net, channels=data.channels, size=data.size, classes=data.classes)
        together = max(1, int(TOGETHER_GIGAFLOPS / (work * min(recipe.batch, len(source)))))
    fit_all(
        networks,
        source,
        recipe,
        compute,
        seed=stream,
        purposes=purposes,
        together=together,
        labels=given.labels,
    )
    tested = getattr(data, split)
    values = accuracies(networks, tested, distilled.normalisation, compute)
    return Evaluation(
        values=tuple(values),
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if repeats > 1 else math.nan,
        net=net,
        protocol=name,
        epochs=epochs,
        split=split,
        optimisation_steps=recipe.epochs * protocols.steps_per_epoch(recipe, len(source)),
        seconds=time.perf_counter() - started,
        label_regime=regime,
        temperature=recipe.temperature,
        teacher_accuracy=labelling.teacher_accuracy(distilled, tested, compute) if regime == "soft" else None,
        teacher_mode=given.mode,
        input_side=nets.input_side(net, data.size),
        precision=precision,
        compiled=compiled,
    )


def _check_fits(
    distilled: DistilledSet, shape: tuple[int, ...], data: DataSplits, split: str, allow_other_data: bool
) -> None:
    if distilled.fingerprint != data.fingerprint and not allow_other_data:
        raise DataError(
            f"the set was distilled from data {distilled.fingerprint[:12]}, and {data.name!r} is "
            f"{data.fingerprint[:12]}: give the same data, size and split, or allow other data"
        )
    learned = distilled.manifest["data"].get("train")
    if split == "val" and not allow_other_data and learned not in (None, data.train.fingerprint):
        raise DataError(
            f"split: the set was distilled from other training images than {data.name!r} has, such as train and "
            "validation together, so that val is no measure of it; use test"
        )
    if shape != (data.channels, data.size, data.size) or distilled.classes != data.classes:
        raise DataError(
            f"the set has {distilled.classes} classes of images {shape}, and {data.name!r} has {data.classes} "
            f"of {(data.channels, data.size, data.size)}"
        )
