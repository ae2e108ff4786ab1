"""Relabelled sets: a teacher's logits of the plain images, and of the very batches of a training."""

from __future__ import annotations

import pytest
import torch

from raydd import nets
from raydd.data import DataSplits
from raydd.devices import Compute
from raydd.distillation import Relabelling, labelled
from raydd.distillation.baselines import random_real
from raydd.errors import ArtifactError
from raydd.evaluation import protocols
from raydd.registry import Context
from raydd.seeding import generator
from raydd.storage import DistilledSet, Teacher
from raydd.storage.weights import weights_digest
from raydd.training import TensorSource, replay_logits

CPU = torch.device("cpu")
NET = "convnet-d1-w4-bn"
EVALUATION = {
    "protocol": "sre2l-cifar",
    "net": NET,
    "epochs": 3,
    "augmentation": "standard:crop_flip",
    "temperature": 12.0,
    "teacher_mode": "eval",
}


@pytest.fixture
def teacher() -> Teacher:
    net = nets.build(NET, channels=3, size=8, classes=3, generator=generator(5, "teacher"))
    facts = {"asset": "teacher-0", "sha256": "0" * 64, "net": NET, "epochs": 0, "pretrained": False}
    weights = weights_digest(net.state_dict())
    return Teacher(NET, net.state_dict(), {**facts, "weights": weights, "train_accuracy": 0.3})


@pytest.fixture
def plain(data: DataSplits, context: Context) -> DistilledSet:
    return random_real(data, context, {**EVALUATION, "temperature": 30.0}, 7)


def how(kind: str) -> Relabelling:
    recipe = protocols.get("sre2l-cifar").recipe("standard:crop_flip", 3, temperature=12.0)
    return Relabelling(kind, EVALUATION, recipe)


@pytest.mark.parametrize("kind", ["online", "stored", "image"])
def test_soft_labels_are_the_teachers_of_the_plain_images(
    plain: DistilledSet, teacher: Teacher, kind: str
) -> None:
    made = labelled(plain, teacher, how(kind), CPU)
    assert torch.equal(made.pixels, plain.pixels)
    assert made.teacher is teacher
    expected = teacher.network(3, 8, 3)(plain.images())
    assert made.logits.dtype == torch.float16
    torch.testing.assert_close(made.logits.float(), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(made.soft_labels(), (expected / 12).softmax(1), rtol=1e-3, atol=1e-3)
    assert made.recipe["temperature"] == 12.0
    assert made.label_kind == kind
    assert made.label_facts["teacher"] == teacher.facts
    assert (made.replay is not None) == (kind == "stored")


def test_a_replay_is_of_the_batches_that_its_record_names(plain: DistilledSet, teacher: Teacher) -> None:
    made = labelled(plain, teacher, how("stored"), CPU)
    record = dict(made.label_facts["replay"])
    recipe = record.pop("recipe")
    assert record == {"seed": 7, "purpose": "relabel", "epochs": 3}
    assert recipe == how("stored").recipe.to_json()
    assert (recipe["mixup"], recipe["batch"], recipe["augmentation"]) == (0.8, 128, "standard:crop_flip")
    assert tuple(made.replay.shape) == (3, 12, 3)
    source = TensorSource(made.images(), made.labels(), 3)
    again = replay_logits(teacher.network(3, 8, 3), source, how("stored").recipe, Compute(CPU), **record)
    assert torch.equal(again, made.replay)


def test_hard_labels_have_no_teacher(plain: DistilledSet, teacher: Teacher) -> None:
    made = labelled(plain, teacher, how("hard"), CPU)
    assert made.label_facts == {"kind": "hard"}
    assert (made.logits, made.replay, made.teacher) == (None, None, None)


@pytest.mark.parametrize("kind", ["online", "stored", "image", "hard"])
def test_a_labelled_set_comes_back_from_its_file(
    plain: DistilledSet, teacher: Teacher, kind: str, tmp_path
) -> None:
    made = labelled(plain, teacher, how(kind), CPU)
    back = DistilledSet.load(made.save(tmp_path / "set.safetensors"))
    assert back.manifest == made.manifest
    for name in ("pixels", "logits", "replay"):
        one, other = getattr(made, name), getattr(back, name)
        assert (one is None and other is None) or torch.equal(one, other)


def test_labelling_a_second_time_replaces_the_first(plain: DistilledSet, teacher: Teacher) -> None:
    stored = labelled(plain, teacher, how("stored"), CPU)
    for kind in ("online", "hard"):
        twice, once = (labelled(made, teacher, how(kind), CPU) for made in (stored, plain))
        assert twice.manifest == once.manifest
        assert twice.replay is None
        assert (twice.logits is None) == (once.logits is None)


def test_logits_beyond_float16_are_no_labels(plain: DistilledSet, teacher: Teacher) -> None:
    state = {**teacher.state, "classifier.weight": 1e6 * teacher.state["classifier.weight"]}
    loud = Teacher(NET, state, teacher.facts)
    with pytest.raises(
        ArtifactError, match=r"teacher-0 \(convnet-d1-w4-bn\) gives logits as large as .*65504"
    ):
        labelled(plain, loud, how("image"), CPU)
