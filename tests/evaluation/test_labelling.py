"""Networks trained on a teacher's labels: what each kind of labels does, checked against loops written out here."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from raydd import augment, nets
from raydd.data import ArrayImages, DataSplits, ImageData
from raydd.devices import Compute
from raydd.errors import ArtifactError, ConfigError, RayddError
from raydd.evaluation import Evaluation, carried, evaluate, protocols
from raydd.registry import AssetSpec
from raydd.seeding import generator
from raydd.storage import AssetStore, DistilledSet, Teacher
from raydd.training import ReplayedLabels, TensorSource, accuracies, fit, replay_logits

CPU = Compute(torch.device("cpu"))
NET = "convnet-w8-d1"
SPEC = AssetSpec("teacher", "convnet-d1-w4-bn", {"epochs": 20, "batch": 16, "lr": 0.1})
EPOCHS, TEMPERATURE, MIXUP = 8, 4.0, 0.8
PURPOSE, STREAM = "relabel", 11


@pytest.fixture(scope="session")
def teacher(data: DataSplits, tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    return AssetStore(tmp_path_factory.mktemp("home") / "assets", data, CPU).teacher(SPEC)


def recipe_of(epochs: int = EPOCHS, temperature: float = TEMPERATURE) -> Any:
    return protocols.get("sre2l-cifar").recipe("standard:crop", epochs, mixup=MIXUP, temperature=temperature)


def labelled(distilled: DistilledSet, teacher: Teacher, kind: str, **own: Any) -> DistilledSet:
    """The real images of `distilled` with the teacher's labels."""
    about: dict[str, Any] = {"kind": kind, "teacher": teacher.facts}
    logits = replay = None
    net = teacher.network(1, 8, 3)
    if kind == "image":
        logits = net(distilled.images()).half()
    if kind == "stored":
        about["replay"] = {
            "seed": STREAM,
            "purpose": PURPOSE,
            "epochs": EPOCHS,
            "recipe": recipe_of().to_json(),
        }
        source = TensorSource(distilled.images(), distilled.labels())
        replay = replay_logits(net, source, recipe_of(), CPU, seed=STREAM, purpose=PURPOSE, epochs=EPOCHS)
    recipe = {
        "protocol": "sre2l-cifar",
        "net": NET,
        "epochs": EPOCHS,
        "augmentation": "standard:crop",
        "temperature": TEMPERATURE,
        "mixup": MIXUP,
        **own,
    }
    facts = {**distilled.manifest, "schema": 3, "labels": about, "evaluation": recipe}
    return dataclasses.replace(distilled, manifest=facts, logits=logits, replay=replay, teacher=teacher)


def quick(distilled: DistilledSet, data: DataSplits, **changes: Any) -> Evaluation:
    return evaluate(distilled, data, **{"net": NET, "repeats": 2, "device": "cpu", "seed": 3, **changes})


@pytest.fixture(scope="session")
def noise(data: DataSplits) -> DataSplits:
    """A test split of noise, where small differences between networks are seen."""
    pixels = np.random.default_rng(4).integers(0, 256, (600, 1, 8, 8), dtype=np.uint8)
    return dataclasses.replace(data, test=ArrayImages(pixels, np.repeat(np.arange(3), 200)))


def by_hand(
    distilled: DistilledSet,
    data: DataSplits,
    index: int,
    labels: Any,
    temperature: float,
    stream: tuple[int, str] | None = None,
) -> float:
    """The sre2l-cifar protocol written out for one network in float64, one batch an epoch.

    Args:
        distilled: twelve images.
        data: tested on.
        index: which network.
        labels: (mixed images, epoch, mixed one-hot targets) to probabilities.
        temperature: T.
        stream: seed and purpose of the batches.
    """
    net = nets.build(NET, channels=1, size=8, classes=3, generator=generator(3, "evaluation/net", index))
    net.double()
    images, targets = distilled.images(), torch.nn.functional.one_hot(distilled.labels(), 3).float()
    seed, purpose = stream or (3, f"evaluation/{index}")
    crop = augment.build("standard:crop")
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
    for epoch in range(EPOCHS):
        optimiser.param_groups[0]["lr"] = 1e-3 * (1 + math.cos(math.pi * epoch / EPOCHS)) / 2
        order = torch.randperm(12, generator=generator(seed, f"{purpose}/order", epoch))
        batch = crop(images[order], crop.draw(generator(seed, f"{purpose}/augment", epoch, 0), 12))
        mixing = generator(seed, f"{purpose}/mixup", epoch, 0)
        batch, mixed = augment.mixup(batch, targets[order], 3, MIXUP, mixing)
        probabilities = labels(batch, epoch, mixed).double()
        spoken = torch.log_softmax(net(batch.double()) / temperature, dim=1)
        optimiser.zero_grad()
        (-(probabilities * spoken).sum() / 12).backward()
        optimiser.step()
    return accuracies([net.float()], data.test, data.normalisation, CPU)[0]


@pytest.mark.parametrize("temperature", [TEMPERATURE, 20.0])
def test_a_teacher_labels_every_mixed_batch_at_the_temperature_that_is_asked_for(
    temperature: float, distilled: DistilledSet, teacher: Teacher, noise: DataSplits
) -> None:
    online = labelled(distilled, teacher, "online")
    asked = None if temperature == TEMPERATURE else temperature
    found = quick(online, noise, temperature=asked)
    assert (found.label_regime, found.temperature, found.teacher_mode) == ("soft", temperature, "eval")
    assert (found.protocol, found.epochs, found.optimisation_steps) == ("sre2l-cifar", EPOCHS, EPOCHS)
    net = teacher.network(1, 8, 3)

    def labels(images: Tensor, epoch: int, targets: Tensor) -> Tensor:
        return (net(images).double() / temperature).softmax(dim=1)

    assert found.values == tuple(by_hand(online, noise, i, labels, temperature) for i in range(2))


def test_a_teacher_in_train_mode_takes_the_batchs_statistics_and_stays_what_it_was(
    distilled: DistilledSet, teacher: Teacher, noise: DataSplits
) -> None:
    before = {name: value.clone() for name, value in teacher.state.items()}
    online = labelled(distilled, teacher, "online")
    found = quick(online, noise, teacher_mode="train")
    assert found.teacher_mode == "train"
    assert all(torch.equal(teacher.state[name], value) for name, value in before.items())

    def labels(images: Tensor, epoch: int, targets: Tensor) -> Tensor:
        net = teacher.network(1, 8, 3).train()  # running statistics play no part in train mode
        return (net(images).double() / TEMPERATURE).softmax(dim=1)

    assert found.values == tuple(by_hand(online, noise, i, labels, TEMPERATURE) for i in range(2))
    assert found.values != quick(online, noise).values
    own = labelled(distilled, teacher, "online", teacher_mode="train")
    assert quick(own, noise).values == found.values  # the set's own, unless told otherwise
    assert quick(own, noise, teacher_mode="eval").values == quick(online, noise).values


def test_labels_of_the_plain_images_are_mixed_and_need_no_teacher(
    distilled: DistilledSet, teacher: Teacher, noise: DataSplits, tmp_path: Path
) -> None:
    made = labelled(distilled, teacher, "image")
    alone = DistilledSet.load(made.save(tmp_path / "set.safetensors"))
    assert alone.teacher is None
    found = quick(alone, noise)
    assert (found.teacher_accuracy, found.teacher_mode) == (None, None)
    soft = (made.logits.double() / TEMPERATURE).softmax(dim=1).float()  # type: ignore[union-attr]

    def labels(images: Tensor, epoch: int, targets: Tensor) -> Tensor:
        order = torch.randperm(12, generator=generator(3, f"evaluation/{index}/order", epoch))
        mixing = generator(3, f"evaluation/{index}/mixup", epoch, 0)
        return augment.mixup(images, soft[order], 3, MIXUP, mixing)[1]

    expected = []
    for index in range(2):
        expected.append(by_hand(alone, noise, index, labels, TEMPERATURE))
    assert found.values == tuple(expected)
    assert quick(made, noise).values == found.values


def test_stored_labels_are_replayed_for_the_batches_that_they_belong_to_without_a_teacher(
    distilled: DistilledSet, teacher: Teacher, noise: DataSplits, tmp_path: Path
) -> None:
    made = labelled(distilled, teacher, "stored")
    alone = DistilledSet.load(made.save(tmp_path / "set.safetensors"))
    assert alone.teacher is None
    whole = teacher.network(1, 8, 3)
    for temperature in (TEMPERATURE, 15.0):
        found = quick(alone, noise, temperature=temperature)

        def labels(images: Tensor, epoch: int, targets: Tensor, t: float = temperature) -> Tensor:
            return (whole(images).half().double() / t).softmax(dim=1)

        stream = (STREAM, PURPOSE)
        assert found.values == tuple(by_hand(alone, noise, i, labels, temperature, stream) for i in range(2))
    fewer = quick(alone, noise, epochs=3)
    net = nets.build(NET, channels=1, size=8, classes=3, generator=generator(3, "evaluation/net", 0))
    source = TensorSource(alone.images(), alone.labels())
    kept = ReplayedLabels(made.replay, TEMPERATURE)  # type: ignore[arg-type]
    fit(net, source, recipe_of(3), CPU, seed=STREAM, purpose=PURPOSE, labels=kept)
    assert fewer.values[0] == accuracies([net], noise.test, noise.normalisation, CPU)[0]


def test_hard_labels_are_those_of_the_same_pixels_and_protocol_at_temperature_1(
    distilled: DistilledSet, teacher: Teacher, noise: DataSplits
) -> None:
    online = labelled(distilled, teacher, "online")
    found = quick(online, noise, labels="hard")
    assert (found.label_regime, found.temperature) == ("hard", 1.0)
    assert (found.teacher_accuracy, found.teacher_mode) == (None, None)
    expected = (by_hand(online, noise, i, lambda images, epoch, targets: targets, 1.0) for i in range(2))
    assert found.values == tuple(expected)
    plain = dataclasses.replace(
        online, manifest={**online.manifest, "labels": {"kind": "hard"}}, teacher=None
    )
    assert quick(plain, noise) == found
    for kind in ("image", "stored"):
        assert quick(labelled(distilled, teacher, kind), noise, labels="hard") == found


def test_what_was_asked_for_again_is_what_the_set_has(
    distilled: DistilledSet, teacher: Teacher, data: DataSplits
) -> None:
    online = labelled(distilled, teacher, "online")
    assert quick(online, data, labels="soft", temperature=TEMPERATURE) == quick(online, data)
    assert quick(distilled, data, epochs=3, labels="hard") == quick(distilled, data, epochs=3)
    bare = labelled(distilled, teacher, "online")
    del bare.manifest["evaluation"]["temperature"]
    assert quick(bare, data).temperature == 30.0  # the protocol's


class Counted(ImageData):
    """A split that counts how often it is read from its first image on."""

    readings = 0

    def __init__(self, images: ImageData) -> None:
        super().__init__(images._store, images._rows)

    def iterate(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        self.readings += 1
        return super().iterate(batch)


def test_the_teachers_accuracy_is_of_the_evaluated_split_and_measured_once(
    distilled: DistilledSet, teacher: Teacher, data: DataSplits
) -> None:
    rng = np.random.default_rng(8)  # images that no other test has measured the teacher on
    pixels = (data.test.take(range(90)).numpy() + rng.integers(0, 20, (90, 1, 8, 8))).astype(np.uint8)
    fresh = Counted(ArrayImages(pixels, data.test.labels))
    counted = dataclasses.replace(data, test=fresh)
    online = labelled(distilled, teacher, "online")
    first = quick(online, counted)
    assert fresh.readings == 2  # the two networks together, and the teacher
    (expected,) = accuracies([teacher.network(1, 8, 3)], fresh, data.normalisation, CPU)
    assert first.teacher_accuracy == expected > 0.8
    again = quick(labelled(distilled, teacher, "online"), counted, net="convnet-w4-d1")
    assert again.teacher_accuracy == expected
    assert fresh.readings == 4  # one more for the networks alone, besides ours
    (on_val,) = accuracies([teacher.network(1, 8, 3)], data.val, data.normalisation, CPU)
    assert quick(online, data, split="val").teacher_accuracy == on_val


def test_networks_with_batch_statistics_are_trained_as_any_other(
    distilled: DistilledSet, teacher: Teacher, data: DataSplits
) -> None:
    online = labelled(distilled, teacher, "online")
    three = quick(online, data, net="convnet-w8-d1-bn", repeats=3)
    assert quick(online, data, net="convnet-w8-d1-bn", repeats=1).values == three.values[:1]


def test_a_set_whose_teacher_is_missing_says_so_and_keeps_its_hard_labels(
    distilled: DistilledSet, teacher: Teacher, data: DataSplits, tmp_path: Path
) -> None:
    made = labelled(distilled, teacher, "online")
    alone = DistilledSet.load(made.save(tmp_path / "set.safetensors", teacher=False))
    sentence = (
        rf"the set is labelled by its teacher \(convnet-d1-w4-bn\), which is neither in its file nor, with the sha256 "
        rf"{teacher.facts['sha256'][:12]}, at assets/{teacher.facts['asset']}/model.safetensors in a folder above it "
        "or in the home; put it there, or use hard labels"
    )
    with pytest.raises(ArtifactError, match=sentence):
        quick(alone, data)
    assert quick(alone, data, labels="hard") == quick(made, data, labels="hard")


def test_a_file_of_schema_2_is_evaluated_as_it_was(
    distilled: DistilledSet, data: DataSplits, tmp_path: Path
) -> None:
    path = tmp_path / "old.safetensors"
    facts = {**distilled.manifest, "schema": 2}
    tensors = {"pixels": distilled.pixels, "targets": distilled.targets}
    safetensors.torch.save_file(tensors, path, metadata={"raydd": json.dumps(facts)})
    old = DistilledSet.load(path)
    assert quick(old, data, epochs=5) == quick(distilled, data, epochs=5)
    assert quick(old, data, epochs=5).label_regime == "hard"
    with pytest.raises(
        ConfigError, match="'soft' is asked of a set that carries hard labels only; use 'hard'"
    ):
        quick(old, data, labels="soft")


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("online", {"labels": "softt"}, r"evaluation.labels: unknown labels 'softt': did you mean 'soft'\?"),
        ("online", {"temperature": 0.0}, r"evaluation.temperature: must be in \[0.01, 10000\], got 0.0$"),
        ("online", {"temperature": -2.5}, r"evaluation.temperature: must be in .*, got -2.5$"),
        ("online", {"temperature": math.nan}, r"evaluation.temperature: must be in .*, got nan$"),
        ("online", {"temperature": 1e300}, r"evaluation.temperature: must be in .*, got 1e\+300$"),
        ("image", {"temperature": 1e-300}, r"evaluation.temperature: must be in .*, got 1e-300$"),
        ("online", {"temperature": 9.0, "labels": "hard"}, r"temperature: hard labels have none, got 9$"),
        ("online", {"teacher_mode": "trian"}, r"teacher_mode: unknown mode 'trian': did you mean 'train'\?"),
        (
            "online",
            {"teacher_mode": "train", "labels": "hard"},
            r"teacher_mode: 'train' .* with hard labels no",
        ),
        ("image", {"teacher_mode": "train"}, r"teacher_mode: 'train' is asked for, but with image labels no"),
        (
            "stored",
            {"epochs": 9},
            r"evaluation.epochs: the set's stored labels last for 8 epochs, got 9; ask",
        ),
        (
            "stored",
            {"protocol": "dsa"},
            r"protocol: .* those of 'sre2l-cifar''s batches, got 'dsa'; use hard",
        ),
    ],
)
def test_labels_that_cannot_be_had_are_refused_in_one_sentence(
    distilled: DistilledSet,
    teacher: Teacher,
    data: DataSplits,
    kind: str,
    changes: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(RayddError, match=message) as caught:
        quick(labelled(distilled, teacher, kind), data, **changes)
    assert (caught.value.exit_code, str(caught.value).count("\n")) == (2, 0)


def test_a_recipe_that_makes_other_batches_has_no_stored_labels(
    distilled: DistilledSet, teacher: Teacher, data: DataSplits
) -> None:
    other = labelled(distilled, teacher, "stored").with_recipe(mixup=0.3)
    with pytest.raises(
        ConfigError, match=r"labels: .* were those of other batches than its recipe makes; label"
    ):
        quick(other, data)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"mixup": 0.3}, r"mixup: the stored labels belong to batches with 0.8, got 0.3$"),
        (
            {"augmentation": ""},
            r"augmentation: the stored labels belong to batches with 'standard:crop', got ''$",
        ),
    ],
)
def test_stored_labels_are_tied_to_the_batches_that_their_record_names(
    own: dict[str, Any], message: str, distilled: DistilledSet, teacher: Teacher, data: DataSplits
) -> None:
    # Not by `with_recipe`, which drops the replay: a file whose recipe was changed.
    with pytest.raises(ConfigError, match=message):
        quick(labelled(distilled, teacher, "stored", **own), data)


def test_two_teachers_of_one_file_do_not_share_an_accuracy(
    distilled: DistilledSet, teacher: Teacher, data: DataSplits
) -> None:
    state = {name: torch.zeros_like(value) for name, value in teacher.state.items()}
    blank = Teacher(teacher.net, state, {**teacher.facts, "weights": "0" * 64})
    accuracies_ = [
        quick(labelled(distilled, each, "image"), data).teacher_accuracy for each in (teacher, blank)
    ]
    assert accuracies_[0] > 0.8  # type: ignore[operator]
    assert accuracies_[1] == pytest.approx(1 / 3)


def test_what_another_protocol_takes_from_the_set_is_told(distilled: DistilledSet, teacher: Teacher) -> None:
    online = labelled(distilled, teacher, "online")
    assert carried(online, "sre2l-cifar", "soft") == {}
    assert carried(online, "dsa", "soft") == {"augmentation": "standard:crop", "temperature": TEMPERATURE}
    assert carried(online, "dsa", "soft", 7.0) == {"augmentation": "standard:crop"}
    assert carried(online, "dsa", "hard") == {"augmentation": "standard:crop"}
    assert carried(online, "dc", "hard") == {}
    mixed = online.with_recipe(protocol="dsa")
    both = {"augmentation": "standard:crop", "mixup": MIXUP}
    assert carried(mixed, "sre2l-cifar", "hard") == both
    assert carried(mixed.with_recipe(cutmix=0.5), "idc", "hard") == {
        "augmentation": "standard:crop",
        "cutmix": 0.5,
    }
