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
from raydd.augment import Augmentation, Draw
from raydd.augment import build as build_augmentation
from raydd.data import ArrayImages, DataSplits, ImageData, load_data
from raydd.devices import Compute
from raydd.formation import initial_images, initial_labels
from raydd.nets import Network
from raydd.normalisation import Normalisation
from raydd.registry import Context
from raydd.seeding import generator

if TYPE_CHECKING:
    from pydantic import BaseModel

    from raydd.distillation import DM, IDC, IDM, UDD, SRe2L, TrainedRealSide

Splits = DataSplits
SEED = 0
NORMALISATION = Normalisation((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
AUGMENTATION = "color_crop_cutout_flip_scale_rotate"
GRADIENT_AUGMENTATION = "idc:color_crop_cutout"
TRAINING_AUGMENTATION = "idc:color_crop"  # of the network that gradients are matched with
STUDENT_AUGMENTATION = "standard:crop_flip"  # of networks that a teacher labels images for
STUDENT_MIXUP = 0.8  # alpha
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


def augmentation(strategy: str) -> Augmentation:
    """The augmentation called `strategy`."""
    return build_augmentation(strategy)


def matching_draw(augment: Augmentation, iteration: int, class_: int) -> Draw:
    """The augmentation of a class in an iteration."""
    return augment.draw(generator(SEED, "augmentation", iteration, class_))


def epoch_order(number: int, images: int, epoch: int) -> Tensor:
    """The order of an epoch of the `number`th network of an evaluation."""
    return torch.randperm(images, generator=generator(SEED, f"evaluation/{number}/order", epoch))


def batch_draw(augment: Augmentation, number: int, epoch: int, batch: int, images: int) -> Draw:
    """The augmentation of a batch of the `number`th network of an evaluation."""
    return augment.draw(generator(SEED, f"evaluation/{number}/augment", epoch, batch), images)


def teacher(settings: Mapping[str, Any], data: DataSplits) -> Network:
    """A ResNet-18 with batch norm, untrained, whose running statistics are those of training images; in eval mode."""
    net = network(f"resnet18-bn-w{settings['width']}", data, "benchmark/teacher").train()
    images, _ = arrays(data.train)
    normalised = data.normalisation.apply(images[:: max(1, len(images) // 100)])
    with torch.no_grad():
        for _ in range(20):
            net(normalised)
    return net.eval()


def student(settings: Mapping[str, Any], data: DataSplits) -> Network:
    """A ResNet-18 with batch norm, untrained: the first network of an evaluation."""
    return evaluated_network(f"resnet18-bn-w{settings['width']}", data, 0)


def student_mix(epoch: int, batch: int, images: int) -> tuple[float, Tensor]:
    """MixUp of a batch of the first network of an evaluation: lambda and the partners."""
    from raydd.augment import draw_mixup

    return draw_mixup(images, STUDENT_MIXUP, generator(SEED, "evaluation/0/mixup", epoch, batch))


def roll(reach: int, iteration: int) -> tuple[int, int]:
    """By how many pixels the images of id 0 are rolled in a recovery iteration."""
    stream = generator(SEED, "recover/jitter", iteration, 0)
    rows, columns = torch.randint(reach + 1, (2,), generator=stream).tolist()
    return rows, columns


def queue_network(spec: str, data: DataSplits, number: int) -> Network:
    """The `number`th network that joins IDM's queue, untrained."""
    return network(spec, data, "queue_net", number)


def queue_match(count: int, iteration: int) -> int:
    """Which of the `count` networks in the queue an iteration matches with."""
    return int(torch.randint(count, (), generator=generator(SEED, "queue_match", iteration)))


def queue_order(count: int, iteration: int) -> list[int]:
    """The `count` networks in the queue in the order in which an iteration trains them, as far as it gets."""
    order: list[int] = torch.randperm(count, generator=generator(SEED, "queue_fetch", iteration)).tolist()
    return order


def queue_batch(iteration: int, number: int) -> torch.Generator:
    """What all images are permuted with for the `number`th training step of an iteration."""
    return generator(SEED, "queue_batch", iteration, number)


def update_order(update: int) -> torch.Generator:
    """What all images are permuted with in a network update."""
    return generator(SEED, "net/order", update)


def update_draw(augment: Augmentation, update: int, batch: int, images: int) -> Draw:
    """The augmentation of a batch of a network update, parameters for every image."""
    return augment.draw(generator(SEED, "net/augment", update, batch), images)


def update_mix(update: int, batch: int, images: int) -> tuple[list[float], Tensor]:
    """CutMix of a batch of a network update.

    Returns:
        Unit uniforms that decide about mixing, make 1 - lambda and the box's row and column, and the partners.
    """
    stream = generator(SEED, "net/cutmix", update, batch)
    uniforms: list[float] = torch.rand(4, generator=stream, dtype=torch.float64).tolist()
    return uniforms, torch.randperm(images, generator=stream)


def initial(data: DataSplits, ipc: int) -> tuple[Tensor, Tensor]:
    """Random real images, normalised, class-major, and their labels: what distillation starts from."""
    images = initial_images(data.train, ipc, data.normalisation, SEED)
    return images, initial_labels(data.classes, ipc)


def initial_parts(data: DataSplits, ipc: int, factor: int, unit: bool) -> Tensor:
    """Images parted into factor x factor small real ones: IDC's in [0, 1] (`unit`), or IDM's, normalised."""
    normalisation, resize = (None, "nearest") if unit else (data.normalisation, "bilinear")
    return initial_images(data.train, ipc, normalisation, SEED, "mix", factor=factor, resize=resize)


def regions(settings: Mapping[str, Any], data: DataSplits) -> Tensor:
    """UDD's regions of the initial images, int64 (classes * ipc, R, 3), as fp32 chooses them."""
    return _udd(settings, data, Variant("fp32, eager")).regions.flatten(0, 1)


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

    context = _context(settings, data, variant)
    names = ("batch_real", "lr_img", "momentum", "lambda_cc", "lambda_cm")
    fields = registry.get(method).hyperparameters.model_fields
    values = {name: settings[name] for name in names if name in fields}
    numbers: Any = registry.get(method).hyperparameters(net=f"convnet-w{settings['width']}", **values)
    if method == "iid":
        passes = nets.Passes(compute(variant), image_gradient=True, batch=1, size=data.size)
        placed = [passes.place(net) for net in pool]  # as a study's asset store gives them
        return IID(numbers, context, data, placed, SEED, CPU, bank)
    return DM(numbers, context, data, SEED, CPU, bank)


def _numbers(method: str, settings: Mapping[str, Any]) -> BaseModel:
    """Hyperparameters of a method: those that `settings` names, and the method's defaults."""
    model = registry.get(method).hyperparameters
    given = {name: settings[name] for name in model.model_fields if name in settings}
    return model(**{**given, "net": f"convnet-w{settings['width']}"})


def _context(settings: Mapping[str, Any], data: DataSplits, variant: Variant) -> Context:
    return Context(
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


def distiller_on_queue(settings: Mapping[str, Any], data: DataSplits, variant: Variant) -> IDM:
    """A distiller of `idm` at iteration 0."""
    from raydd.distillation import IDM

    numbers: Any = _numbers("idm", settings)
    return IDM(numbers, _context(settings, data, variant), data, SEED, CPU)


def distiller_on_gradients(
    method: str, settings: Mapping[str, Any], data: DataSplits, variant: Variant
) -> IDC:
    """A distiller of `idc` or `udd` at iteration 0; UDD has the regions that `regions` gives."""
    from raydd.distillation import IDC

    if method == "idc":
        numbers: Any = _numbers("idc", settings)
        return IDC(numbers, _context(settings, data, variant), data, SEED, CPU)
    udd = _udd(settings, data, variant)
    # Another precision may choose otherwise between windows that are nearly equal, and match other images then.
    udd.regions = regions(settings, data).view_as(udd.regions)
    return udd


def _udd(settings: Mapping[str, Any], data: DataSplits, variant: Variant) -> UDD:
    """A distiller of `udd` at iteration 0; a random network judges the regions."""
    from raydd.distillation import UDD

    numbers: Any = _numbers("udd", settings)
    proxy = network(numbers.proxy_net, data, "benchmark/proxy")
    return UDD(numbers, _context(settings, data, variant), data, proxy, SEED, CPU)


def net_trainer(settings: Mapping[str, Any], data: DataSplits, variant: Variant) -> TrainedRealSide:
    """The real side of `idc`, with its first network at iteration 0."""
    from raydd.distillation import NetTraining, TrainedRealSide

    training = NetTraining(
        n_data=settings["n_data"], batch_train=settings["batch_train"], cutmix=settings["cutmix"]
    )
    spec = f"convnet-w{settings['width']}"
    side = TrainedRealSide(
        data, spec, settings["batch_real"], GRADIENT_AUGMENTATION, training, SEED, compute(variant)
    )
    side.begin(0)
    side.position = 0
    return side


def recovery(settings: Mapping[str, Any], data: DataSplits, variant: Variant, iterations: int) -> SRe2L:
    """A distiller of `sre2l` at iteration 0, from real images and with weights of its own for the variances."""
    from raydd.distillation import Relabelling, SRe2L
    from raydd.evaluation import protocols
    from raydd.storage import Teacher

    net = teacher(settings, data)
    spec = f"resnet18-bn-w{settings['width']}"
    numbers: Any = registry.get("sre2l").hyperparameters(
        teacher=spec,
        init="real",
        coupled=False,
        labels="hard",
        recover_iterations=iterations,
        **{name: settings[name] for name in ("lr", "lambda_mean", "lambda_var")},
    )
    labels = Relabelling("hard", {}, protocols.get("sre2l-cifar").recipe(STUDENT_AUGMENTATION))
    trained = Teacher(spec, dict(net.state_dict()), {})
    return SRe2L(numbers, _context(settings, data, variant), data, trained, labels, SEED, CPU)


def adjusting_passes(variant: Variant, images: int, size: int) -> nets.Passes:
    """How the network runs whose weights are adjusted."""
    return nets.Passes(compute(variant), image_gradient=True, batch=images, size=size)


def adjust(net: Network, passes: nets.Passes, images: Tensor, labels: Tensor, rho: float, k: int) -> None:
    """DWA's adjustment of the weights, in place."""
    from raydd.distillation.dwa import ascend

    ascend(passes.place(net), passes, images, labels, rho, k)


def train_student(
    net: Network, labelling: Network, images: Tensor, labels: Tensor, epochs: int, variant: Variant
) -> None:
    """Train the first network of an evaluation by protocol `sre2l-cifar`, with labels from `labelling`."""
    from raydd.evaluation import protocols
    from raydd.training import TeacherLabels, TensorSource, fit

    recipe = protocols.get("sre2l-cifar").recipe(STUDENT_AUGMENTATION, epochs)
    how, count = compute(variant), min(recipe.batch, len(images))
    taught = TeacherLabels(labelling, how, recipe.temperature, batch=count, size=images.shape[-1])
    fit(net, TensorSource(images, labels), recipe, how, seed=SEED, purpose="evaluation/0", labels=taught)


def update_net(side: TrainedRealSide) -> None:
    """One network update, the one after the iteration that `side` stands at."""
    assert side.position is not None
    side.advance()
    side.position += 1


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
