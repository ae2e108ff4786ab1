"""Every call that the benchmarks make into raydd's networks, methods, training and data: one place to adapt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import pixels
from benchmarks.variants import Variant
from raydd import devices, nets, registry
from raydd.augment import DSA, Draw
from raydd.data import ArrayImages, DataSplits, ImageData, load_data
from raydd.devices import Compute
from raydd.formation import initial_images, initial_labels
from raydd.nets import Network
from raydd.normalisation import Normalisation
from raydd.registry import Context
from raydd.seeding import generator

if TYPE_CHECKING:
    from raydd.distillation import DM

SEED = 0
NORMALISATION = Normalisation((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
AUGMENTATION = "color_crop_cutout_flip_scale_rotate"
CPU = torch.device("cpu")


def prepare(threads: int | None = None) -> None:
    """Threads and allocator as raydd sets them; None is all the CPUs of the process."""
    devices.prepare_process(threads or devices.available_cpus())


def splits(settings: Mapping[str, Any]) -> DataSplits:
    """The images of a run: those of the folder `data`, brought to `size`, or made up.

    Made up are `classes` classes of `per_class` training and `test_per_class` test images.
    """
    if settings.get("data"):
        return load_data(settings["data"], image_size=settings["size"])
    classes, size = settings["classes"], settings["size"]
    counts = (settings["per_class"], 2, settings.get("test_per_class", 2))
    train, val, test = (
        ArrayImages(*pixels.images(classes, count, size, seed), classes=classes)
        for seed, count in enumerate(counts)
    )
    return DataSplits(
        name="made-up",
        train=train,
        val=val,
        test=test,
        class_names=tuple(f"class{label}" for label in range(classes)),
        normalisation=NORMALISATION,
        augmentation=AUGMENTATION,
        split={"split_seed": 0},
        fingerprint=train.fingerprint,
    )


def arrays(data: ImageData) -> tuple[Tensor, Tensor]:
    """All images of one split, uint8 (N, C, S, S), and their labels, int64 (N,), in order."""
    return data.take(np.arange(len(data))), torch.as_tensor(data.labels)


# What is drawn: the reference is given the same.


def network(spec: str, data: DataSplits, purpose: str, iteration: int = 0) -> Network:
    """A network for `data`, drawn from the stream (seed, purpose, iteration)."""
    shape = {"channels": data.channels, "size": data.size, "classes": data.classes}
    return nets.build(spec, **shape, generator=generator(SEED, purpose, iteration))


def matching_network(spec: str, data: DataSplits, iteration: int) -> Network:
    """The network that is matched with in an iteration."""
    return network(spec, data, "matching_net", iteration)


def evaluated_network(spec: str, data: DataSplits, number: int) -> Network:
    """The network that an evaluation trains as its `number`th, untrained."""
    return network(spec, data, "evaluation/net", number)


def extractors(settings: Mapping[str, Any], data: DataSplits) -> list[Network]:
    """A pool of feature extractors with random weights, frozen."""
    width = settings["extractor_width"]
    return [
        network(f"resnet18-w{width}", data, "benchmark/pool", i).requires_grad_(False).eval()
        for i in range(settings["pool_size"])
    ]


def extractor_number(count: int, iteration: int) -> int:
    """Which of `count` extractors an iteration uses."""
    return int(torch.randint(count, (), generator=generator(SEED, "pool_net", iteration)))


def real_order(iteration: int, class_: int) -> torch.Generator:
    """What the real images of a class are permuted with in an iteration."""
    return generator(SEED, "real_batch", iteration, class_)


def matching_draw(augment: DSA, iteration: int, class_: int) -> Draw:
    """The augmentation of a class in an iteration."""
    return augment.draw(generator(SEED, "augmentation", iteration, class_))


def epoch_order(number: int, images: int, epoch: int) -> Tensor:
    """The order of an epoch of the `number`th network of an evaluation."""
    return torch.randperm(images, generator=generator(SEED, f"evaluation/{number}/order", epoch))


def batch_draw(augment: DSA, number: int, epoch: int, batch: int, images: int) -> Draw:
    """The augmentation of a batch of the `number`th network of an evaluation."""
    return augment.draw(generator(SEED, f"evaluation/{number}/augment", epoch, batch), images)


def initial(data: DataSplits, ipc: int) -> tuple[Tensor, Tensor]:
    """Random real images, normalised, class-major, and their labels: what distillation starts from."""
    images = initial_images(data.train, ipc, data.normalisation, SEED)
    return images, initial_labels(data.classes, ipc)


# What is measured.


def compute(variant: Variant) -> Compute:
    """How networks are computed."""
    return Compute(CPU, variant.precision, variant.compiled)


def distiller(
    method: str,
    settings: Mapping[str, Any],
    data: DataSplits,
    pool: Sequence[Network],
    variant: Variant,
    bank: Path | None = None,
) -> DM:
    """A distiller of `dm` or `iid` at iteration 0, without a target bank unless a folder for one is given."""
    from raydd.distillation import DM, IID

    context = Context(
        dataset=data.name,
        channels=data.channels,
        size=data.size,
        classes=data.classes,
        ipc=settings["ipc"],
        iterations=10**9,
        augmentation=data.augmentation,
        precision=variant.precision,
        compiled=variant.compiled,
    )
    names = ("batch_real", "lr_img", "momentum", "lambda_cc", "lambda_cm")
    fields = registry.get(method).hyperparameters.model_fields
    values = {name: settings[name] for name in names if name in fields}
    numbers: Any = registry.get(method).hyperparameters(net=f"convnet-w{settings['width']}", **values)
    if method == "iid":
        passes = nets.Passes(compute(variant), image_gradient=True, batch=1, size=data.size)
        placed = [passes.place(net) for net in pool]  # as a study's asset store gives them
        return IID(numbers, context, data, placed, SEED, CPU, bank)
    return DM(numbers, context, data, SEED, CPU, bank)


def fill_bank(distiller: DM) -> int:
    """Compute and store the targets of the first iterations, for distillers that are made later.

    Returns:
        How many iterations there are.

    Raises:
        RuntimeError: they were not stored.
    """
    from raydd.storage.bank import BLOCK

    bank = distiller.real_side.bank
    assert bank is not None
    for iteration in range(BLOCK):
        distiller.real_side.at(iteration)
    if not any(bank.folder.glob("*.safetensors")):
        raise RuntimeError(f"the target bank in {bank.folder} was not stored: the disk is too full")
    return BLOCK


def train(net: Network, images: Tensor, labels: Tensor, epochs: int, number: int, variant: Variant) -> None:
    """Train the `number`th network of an evaluation: epochs 0 to `epochs` of the protocol `dsa`."""
    from raydd.evaluation import protocols
    from raydd.training import TensorSource, fit

    recipe = protocols.get("dsa").recipe(AUGMENTATION, epochs)
    purpose = f"evaluation/{number}"
    fit(net, TensorSource(images, labels), recipe, compute(variant), seed=SEED, purpose=purpose)


def accuracy(net: Network, data: DataSplits, variant: Variant) -> float:
    """Fraction of the test images that `net` gets right."""
    from raydd.training import accuracies

    return accuracies([net], data.test, data.normalisation, compute(variant))[0]


def open_folder(folder: Path) -> DataSplits:
    """A folder of images, decoded or from the cache."""
    return load_data(str(folder))
