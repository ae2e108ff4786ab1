"""Sets with soft labels on disk: what each kind needs goes into the file, and what is not needed does not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from raydd.data import DataSplits
from raydd.devices import Compute
from raydd.errors import ArtifactError
from raydd.formation import cells_spec, initial_images, initial_labels
from raydd.registry import AssetSpec, Context
from raydd.storage import AssetStore, DistilledSet, Teacher, manifest
from raydd.training import Recipe

CPU = Compute(torch.device("cpu"))
SPEC = AssetSpec("teacher", "convnet-d1-w4-bn", {"epochs": 1, "batch": 16})
EPOCHS = 3
RECIPE = Recipe(epochs=EPOCHS, batch=128, optimiser="adamw", schedule="cosine", mixup=0.8)


@pytest.fixture
def teacher(data: DataSplits, tmp_path: Path) -> Teacher:
    return AssetStore(tmp_path / "home" / "assets", data, CPU).teacher(SPEC)


def logits(*shape: int) -> torch.Tensor:
    return (3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))).half()


def labelled(data: DataSplits, teacher: Teacher, kind: str, **more: Any) -> DistilledSet:
    """Six real images of three classes, labelled in one of the soft kinds."""
    about: dict[str, Any] = {"kind": kind, "teacher": teacher.facts}
    if kind == "stored":
        about["replay"] = {"seed": 5, "purpose": "relabel", "epochs": EPOCHS, "recipe": RECIPE.to_json()}
    facts = manifest(
        method="sre2l",
        hyperparameters={},
        context=Context("colours", channels=3, size=8, classes=3, ipc=2, iterations=50),
        data=data,
        seed=0,
        iteration=0,
        evaluation={
            "protocol": "sre2l-cifar",
            "net": "convnet",
            "epochs": None,
            "augmentation": "",
            "temperature": 4.0,
        },
        labels=about,
        **more,
    )
    pixels = initial_images(data.train, 2, data.normalisation, 0)
    made = DistilledSet(pixels, initial_labels(3, 2), facts, teacher=teacher)
    images = len(made.labels())
    return dataclasses.replace(
        made,
        logits=logits(images, 3) if kind == "image" else None,
        replay=logits(EPOCHS, images, 3) if kind == "stored" else None,
    )


def header(path: Path) -> set[str]:
    content = path.read_bytes()
    return set(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]))


PLAIN = {"__metadata__", "pixels", "targets"}


def test_a_set_labelled_online_carries_its_teacher_wherever_it_goes(
    data: DataSplits, teacher: Teacher, tmp_path: Path
) -> None:
    made = labelled(data, teacher, "online")
    path = made.save(tmp_path / "elsewhere" / "set.safetensors")
    assert header(path) == PLAIN | {f"teacher/{name}" for name in teacher.state}
    loaded = DistilledSet.load(path)
    assert loaded.manifest == made.manifest
    assert loaded.manifest["schema"] == 3
    assert (loaded.label_kind, loaded.soft_labels()) == ("online", None)
    assert loaded.teacher is not None
    assert (loaded.teacher.net, loaded.teacher.facts) == (teacher.net, teacher.facts)
    images = loaded.images()
    assert torch.equal(loaded.teacher.network(3, 8, 3)(images), teacher.network(3, 8, 3)(images))
    assert loaded.stored_bytes == 6 * 3 * 8 * 8 * 4 + 6 * 8
    assert loaded.label_bytes == 0
    assert loaded.teacher_bytes == teacher.stored_bytes > 0
    again = made.save(tmp_path / "again" / "set.safetensors")
    assert again.read_bytes() == path.read_bytes()


def test_a_teacher_that_stays_among_the_assets_is_found_from_a_home(
    data: DataSplits, teacher: Teacher, tmp_path: Path
) -> None:
    made = labelled(data, teacher, "online")
    inside = made.save(
        tmp_path / "home" / "studies" / "s" / "trials" / "0" / "set.safetensors", teacher=False
    )
    assert header(inside) == PLAIN
    found = DistilledSet.load(inside).teacher
    assert found is not None
    assert all(torch.equal(found.state[name], value) for name, value in teacher.state.items())
    outside = made.save(tmp_path / "set.safetensors", teacher=False)
    alone = DistilledSet.load(outside)
    assert (alone.teacher, alone.teacher_bytes) == (None, 0)
    assert alone.label_facts["teacher"] == teacher.facts
    told = DistilledSet.load(outside, home=tmp_path / "home").teacher
    assert told is not None
    assert told.weights == teacher.weights


def test_all_logits_that_a_set_holds_are_counted_whatever_they_are_for(
    data: DataSplits, teacher: Teacher, tmp_path: Path
) -> None:
    for kind, replayed in (("online", 0), ("stored", EPOCHS)):
        made = dataclasses.replace(labelled(data, teacher, kind), logits=logits(6, 3))
        loaded = DistilledSet.load(made.save(tmp_path / f"{kind}.safetensors"))
        assert loaded.label_bytes == (1 + replayed) * 6 * 3 * 2


def test_labels_of_the_images_make_a_set_that_needs_no_teacher(
    data: DataSplits, teacher: Teacher, tmp_path: Path
) -> None:
    made = labelled(data, teacher, "image")
    path = made.save(tmp_path / "set.safetensors")
    assert header(path) == PLAIN | {"logits"}
    loaded = DistilledSet.load(path)
    assert loaded.teacher is None
    assert torch.equal(loaded.logits, made.logits)  # type: ignore[arg-type]
    assert (loaded.label_bytes, loaded.teacher_bytes) == (6 * 3 * 2, 0)
    for temperature, asked in ((4.0, None), (20.0, 20.0), (1.0, 1.0)):
        scaled = np.exp(logits(6, 3).double().numpy() / temperature)
        expected = scaled / scaled.sum(axis=1, keepdims=True)
        soft = loaded.soft_labels(asked)
        assert soft is not None
        assert soft.dtype == torch.float32
        np.testing.assert_allclose(soft.numpy(), expected, rtol=1e-6)
    plain = loaded.with_recipe()
    del plain.manifest["evaluation"]["temperature"]
    assert torch.equal(plain.soft_labels(), loaded.soft_labels(1.0))  # type: ignore[arg-type]


def test_every_decoded_view_has_logits_of_its_own(data: DataSplits, teacher: Teacher, tmp_path: Path) -> None:
    made = labelled(data, teacher, "image", decode=cells_spec(2))
    loaded = DistilledSet.load(made.save(tmp_path / "set.safetensors"))
    assert loaded.soft_labels().shape == (24, 3)  # type: ignore[union-attr]
    few = dataclasses.replace(made, logits=logits(6, 3))
    with pytest.raises(
        ArtifactError, match=r"logits are torch.float16 of shape \(6, 3\); allowed is .*\(24, 3\)$"
    ):
        few.save(tmp_path / "few.safetensors")


def test_stored_labels_come_with_what_their_batches_were(
    data: DataSplits, teacher: Teacher, tmp_path: Path
) -> None:
    made = labelled(data, teacher, "stored")
    loaded = DistilledSet.load(made.save(tmp_path / "set.safetensors"))
    assert torch.equal(loaded.replay, made.replay)  # type: ignore[arg-type]
    record = loaded.label_facts["replay"]
    assert {name: record[name] for name in ("seed", "purpose", "epochs")} == {
        "seed": 5,
        "purpose": "relabel",
        "epochs": 3,
    }
    assert Recipe.from_json(record["recipe"]) == RECIPE
    assert (loaded.label_bytes, loaded.teacher_bytes) == (3 * 6 * 3 * 2, 0)
    same = loaded.with_recipe(net="convnet-w4", epochs=2, protocol="sre2l-cifar", temperature=9.0)
    assert same.replay is loaded.replay
    for change in ({"protocol": "dsa"}, {"augmentation": "flip"}, {"mixup": 0.5}, {"cutmix": 1.0}):
        assert loaded.with_recipe(**change).replay is None  # other batches, which nobody labelled


def test_a_set_of_schema_2_is_read_and_has_hard_labels(data: DataSplits, tmp_path: Path) -> None:
    facts = {
        "schema": 2,
        "method": "dm",
        "hyperparameters": {"lr_img": 1.0},
        "ipc": 2,
        "classes": 3,
        "class_names": ["red", "green", "blue"],
        "channels": 3,
        "size": 8,
        "iterations": 50,
        "iteration": 7,
        "seed": 0,
        "data": {"name": "colours", "fingerprint": data.fingerprint, "train": "t", "split": {}},
        "normalisation": {"mean": [0.3, 0.4, 0.5], "std": [0.2, 0.25, 0.3]},
        "pixels": "normalised",
        "decode": {"kind": "identity"},
        "evaluation": {"protocol": "dsa", "net": "convnet", "epochs": None, "augmentation": "color"},
        "computed": {"precision": "fp32", "path": "eager"},
        "versions": {},
        "git": None,
    }
    tensors = {"pixels": logits(6, 3, 8, 8).float(), "targets": torch.tensor([0, 0, 1, 1, 2, 2])}
    path = tmp_path / "old.safetensors"
    safetensors.torch.save_file(tensors, path, metadata={"raydd": json.dumps(facts)})
    loaded = DistilledSet.load(path)
    assert torch.equal(loaded.pixels, tensors["pixels"])
    assert (loaded.label_kind, loaded.label_facts, loaded.teacher) == ("hard", {"kind": "hard"}, None)
    assert (loaded.soft_labels(), loaded.label_bytes, loaded.teacher_bytes) == (None, 0, 0)
    again = DistilledSet.load(loaded.save(tmp_path / "again.safetensors"))
    assert again.manifest == facts


def test_new_sets_say_that_their_labels_are_hard(data: DataSplits, teacher: Teacher) -> None:
    facts = labelled(data, teacher, "online").manifest
    assert facts["labels"] == {"kind": "online", "teacher": teacher.facts}
    plain = manifest(
        method="dm",
        hyperparameters={},
        context=Context("colours", channels=3, size=8, classes=3, ipc=2, iterations=50),
        data=data,
        seed=0,
        iteration=0,
        evaluation={},
    )
    assert (plain["schema"], plain["labels"]) == (3, {"kind": "hard"})


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        ("online", {"kind": "soft"}, r"labels of kind 'soft'; allowed are hard, image, online, stored$"),
        (
            "online",
            {"teacher": None},
            r"holds a manifest whose labels.teacher is None; allowed is names with",
        ),
        ("online", {"teacher": {"net": "convnet"}}, r"without a usable 'asset' of its labels$"),
        ("image", {"logits": None}, r"labels of kind 'image' without the logits that they are made of$"),
        ("stored", {"replay": None}, r"labels of kind 'stored' without the replay that they are made of$"),
        (
            "image",
            {"logits": logits(6, 3).float()},
            r"logits are torch.float32 of shape \(6, 3\); allowed is ",
        ),
        (
            "image",
            {"logits": logits(6, 2)},
            r"of shape \(6, 2\); allowed is torch.float16 of shape \(6, 3\)$",
        ),
        ("image", {"logits": logits(6, 3) * torch.inf}, "logits that are not finite$"),
        ("stored", {"replay": logits(3, 5, 3)}, r"\(3, 5, 3\); allowed is .* of shape \(epochs, 6, 3\)$"),
        ("stored", {"replay": logits(6, 3)}, r"replay are torch.float16 of shape \(6, 3\); allowed is "),
        ("stored", {"replay": logits(4, 6, 3)}, r"a replay of 4 epochs, but its manifest says 3$"),
    ],
)
def test_labels_that_cannot_be_used_are_not_written(
    data: DataSplits, teacher: Teacher, tmp_path: Path, kind: str, changes: dict[str, Any], sentence: str
) -> None:
    made = labelled(data, teacher, kind)
    labels = {**made.manifest["labels"], **{k: v for k, v in changes.items() if k in ("kind", "teacher")}}
    tensors = {name: value for name, value in changes.items() if name in ("logits", "replay")}
    spoilt = dataclasses.replace(made, manifest={**made.manifest, "labels": labels}, **tensors)
    with pytest.raises(ArtifactError, match=sentence):
        spoilt.save(tmp_path / "set.safetensors")
    assert not (tmp_path / "set.safetensors").exists()


def test_another_teacher_than_the_labels_name_is_not_written(
    data: DataSplits, teacher: Teacher, tmp_path: Path
) -> None:
    other = Teacher(teacher.net, teacher.state, {**teacher.facts, "sha256": "0" * 64, "asset": "teacher-0"})
    spoilt = dataclasses.replace(labelled(data, teacher, "online"), teacher=other)
    with pytest.raises(
        ArtifactError, match=r"holds the teacher teacher-0, but the labels are those of teacher-"
    ):
        spoilt.save(tmp_path / "set.safetensors")


def changed(made: DistilledSet, place: str, value: Any) -> DistilledSet:
    """The set with another value at a dotted place of its manifest; `...` takes it out."""
    facts = json.loads(json.dumps(made.manifest))
    *path, last = place.split(".")
    part = facts
    for name in path:
        part = part[name]
    part[last] = value
    if value is ...:
        del part[last]
    return dataclasses.replace(made, manifest=facts)


@pytest.mark.parametrize(
    ("place", "value", "allowed"),
    [
        ("labels", "soft", "names with values"),
        ("labels.teacher", "abc", "names with values"),
        ("labels.teacher.asset", 5, "a text"),
        ("labels.teacher.sha256", 5, "a text"),
        ("labels.teacher.weights", None, "a text"),
        ("labels.teacher.net", 5, "a text"),
        ("labels.teacher.epochs", "many", "a whole number"),
        ("labels.teacher.pretrained", "no", "true or false"),
        ("labels.replay", [1], "names with values"),
        ("labels.replay.seed", "5", "a whole number"),
        ("labels.replay.seed", True, "a whole number"),
        ("labels.replay.purpose", 5, "a text"),
        ("labels.replay.epochs", 3.0, "a whole number"),
        ("labels.replay.recipe", "sre2l", "names with values"),
        ("evaluation", "dsa", "names with values"),
        ("evaluation.protocol", 5, "a text"),
        ("evaluation.net", 5, "a text"),
        ("evaluation.epochs", "ten", "a whole number"),
        ("evaluation.augmentation", ["crop"], "a text"),
        ("evaluation.temperature", "hot", "a number"),
        ("evaluation.mixup", "x", "a number"),
        ("evaluation.cutmix", True, "a number"),
        ("evaluation.teacher_mode", 5, "a text"),
        ("hyperparameters", [], "names with values"),
        ("data", "digits", "names with values"),
        ("normalisation.mean", "abc", "a list of numbers"),
        ("ipc", "two", "a whole number"),
    ],
)
def test_a_manifest_of_other_types_is_refused_in_one_sentence(
    data: DataSplits, teacher: Teacher, tmp_path: Path, place: str, value: Any, allowed: str
) -> None:
    made = changed(labelled(data, teacher, "stored"), place, value)
    tensors = {"pixels": made.pixels, "targets": made.targets, "replay": made.replay}
    path = tmp_path / "set.safetensors"
    safetensors.torch.save_file(tensors, path, metadata={"raydd": json.dumps(made.manifest)})
    with pytest.raises(ArtifactError) as caught:
        DistilledSet.load(path)
    said = f"{path} holds a manifest whose {place} is {value!r}; allowed "
    assert str(caught.value) == f"{said}is {allowed}"


def test_a_manifest_with_an_unknown_teacher_mode_or_without_a_network_is_refused(
    data: DataSplits, teacher: Teacher, tmp_path: Path
) -> None:
    made = labelled(data, teacher, "online")
    with pytest.raises(
        ArtifactError, match=r"evaluation.teacher_mode: unknown mode 'evl': did you mean 'eval'"
    ):
        changed(made, "evaluation.teacher_mode", "evl").save(tmp_path / "set.safetensors")
    for name in ("net", "epochs"):
        with pytest.raises(ArtifactError, match=f"carries a manifest without a usable '{name}'$"):
            changed(made, f"evaluation.{name}", ...).save(tmp_path / "set.safetensors")


def test_a_replay_that_does_not_say_what_its_batches_were_is_refused(
    data: DataSplits, teacher: Teacher, tmp_path: Path
) -> None:
    made = labelled(data, teacher, "stored")
    path = tmp_path / "set.safetensors"
    with pytest.raises(
        ArtifactError,
        match=r"holds a replay that does not say what its batches were \(recipe\); label the set anew$",
    ):
        changed(made, "labels.replay.recipe", ...).save(path)
    with pytest.raises(
        ArtifactError, match=r"labels.replay.recipe is of no use: batch: must be a whole number, got 'x'$"
    ):
        changed(made, "labels.replay.recipe.batch", "x").save(path)
    assert not path.exists()


def test_a_teacher_with_other_tensors_than_gave_the_labels_is_neither_written_nor_read(
    data: DataSplits, teacher: Teacher, tmp_path: Path
) -> None:
    made = labelled(data, teacher, "online")
    path = made.save(tmp_path / "set.safetensors")
    name = next(iter(teacher.state))
    state = {**teacher.state, name: teacher.state[name] + 1e-3}
    sentence = (
        rf"{path}: the weights of the teacher {teacher.facts['asset']} are not those that gave the labels: "
    )
    other = dataclasses.replace(made, teacher=Teacher(teacher.net, state, teacher.facts))
    with pytest.raises(ArtifactError, match=sentence):
        other.save(path)
    tensors = {"pixels": made.pixels, "targets": made.targets}
    tensors |= {f"teacher/{key}": value.contiguous() for key, value in state.items()}
    safetensors.torch.save_file(tensors, path, metadata={"raydd": json.dumps(made.manifest)})
    with pytest.raises(ArtifactError, match=sentence):
        DistilledSet.load(path)
    with pytest.raises(ArtifactError, match=r"without a usable 'weights' of its labels$"):
        changed(dataclasses.replace(made, teacher=None), "labels.teacher.weights", ...).save(path)


@pytest.mark.parametrize(
    ("kind", "hyperparameters", "expected"),
    [
        ("online", {"net": "convnet-w8"}, "convnet-d1-w4-bn"),
        ("hard", {"net": "convnet-w8", "teacher": "resnet18-bn"}, "convnet-w8"),
        ("hard", {"teacher": "resnet18-bn", "net": None}, "resnet18-bn"),
        ("hard", {}, "vgg11"),
    ],
)
def test_a_set_knows_the_network_that_it_was_distilled_with_whatever_it_is_reported_with(
    data: DataSplits, teacher: Teacher, kind: str, hyperparameters: dict[str, Any], expected: str
) -> None:
    made = labelled(data, teacher, "online").with_recipe(net="vgg11")
    made = changed(made, "hyperparameters", hyperparameters)
    if kind == "hard":
        made = dataclasses.replace(changed(made, "labels", {"kind": "hard"}), teacher=None)
    assert made.distilled_with == expected
