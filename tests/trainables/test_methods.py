"""What every method promises: test and validation images have no say in what is distilled.

A new method is added to `SMALL`, its settings small enough for a second; a test fails until it is.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from raydd import registry
from raydd.data import DataSplits, load_data
from raydd.devices import Compute
from raydd.distillation import DM, DWA, IDC, IDM, IID, UDD, SRe2L
from raydd.files import file_digest
from raydd.registry import Context, Method
from raydd.storage import AssetStore, DistilledSet

CPU = torch.device("cpu")
SMALL: dict[str, dict[str, Any]] = {
    "dm": {"net": "convnet-w8", "batch_real": 8},
    "iid": {
        "net": "convnet-w8",
        "batch_real": 8,
        "cc_form": "hinge_exp",
        "lambda_cc": 0.5,
        "lambda_cm": 0.1,
        "pool_net": "convnet-w4",
        "pool_epochs": 1,
    },
    "idm": {
        "net": "convnet-w8",
        "batch_real": 8,
        "net_generate_interval": 2,
        "model_train_steps": 2,
        "batch_train": 16,
    },
    "idc": {"net": "convnet-w8", "batch_real": 8, "inner_loop": 2, "n_data": 16, "batch_train": 8},
    "udd": {
        "net": "convnet-w8",
        "batch_real": 8,
        "inner_loop": 2,
        "n_data": 16,
        "batch_train": 8,
        "proxy_net": "convnet-w4",
        "proxy_epochs": 1,
    },
    "sre2l": {"teacher": "convnet-d1-w4-bn", "teacher_epochs": 1, "recover_iterations": 1},
    "dwa": {"teacher": "convnet-d1-w4-bn", "teacher_epochs": 1, "recover_iterations": 1, "k": 2},
}


def test_every_installed_method_is_tested_here() -> None:
    modules = {name: type(registry.get(name)).__module__ for name in registry.names()}
    assert set(SMALL) == {name for name, module in modules.items() if module.startswith("trainables.")}


def context_of(data: DataSplits, name: str, ipc: int = 3) -> Context:
    return Context(
        data.name, data.channels, data.size, data.classes, ipc, 10, data.augmentation, fixed=SMALL[name]
    )


def distil(name: str, data: DataSplits, root: Path, steps: int = 3) -> tuple[DistilledSet, dict[str, str]]:
    """The set after a few steps, and the digests of the asset files it stands on."""
    method = registry.get(name)
    context = context_of(data, name)
    store = AssetStore(root, data, Compute(CPU))
    measured = method.measure(context, data, store, 0, CPU)
    context = dataclasses.replace(context, measured=measured)
    distiller = method.distiller(method.defaults(context), context, data, store, 0, CPU)
    for _ in range(steps):
        distiller.step()
    digests = {spec.kind: store.record(spec)["sha256"] for spec in method.assets(context)}
    return distiller.distilled(), {**digests, **{key: str(value) for key, value in measured.items()}}


def write_tree(root: Path, *, noise: int | None) -> Path:
    """Three classes of 8 px colour images; with `noise` val and test hold other pixels and as many images."""
    for split, count, seed in (("train", 9, 0), ("val", 3, 1), ("test", 4, 2)):
        random = np.random.default_rng(seed if split == "train" or noise is None else noise + seed)
        for class_ in ("a", "b", "c"):
            (root / split / class_).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / class_ / f"{index}.png")
    return root


@pytest.mark.parametrize("name", sorted(SMALL))
def test_noise_for_validation_and_test_images_leaves_every_bit_of_the_set(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYDD_CACHE", str(tmp_path / "cache"))
    honest = load_data(str(write_tree(tmp_path / "honest" / "images", noise=None)))
    noisy = load_data(str(write_tree(tmp_path / "noisy" / "images", noise=77)))
    assert honest.fingerprint != noisy.fingerprint
    assert honest.train.fingerprint == noisy.train.fingerprint
    first, assets = distil(name, honest, tmp_path / "a")
    second, noisy_assets = distil(name, noisy, tmp_path / "b")
    assert torch.equal(first.pixels, second.pixels)
    assert not torch.equal(first.pixels, distil(name, honest, tmp_path / "a", steps=1)[0].pixels)
    assert assets == noisy_assets


@pytest.mark.parametrize("name", sorted(SMALL))
def test_shuffled_test_labels_change_nothing(name: str, tmp_path: Path) -> None:
    data = load_data("digits")
    shuffled = data.test.subset(np.arange(len(data.test)))
    shuffled.labels = np.random.default_rng(0).permutation(shuffled.labels)
    other = dataclasses.replace(data, test=shuffled)
    first, _ = distil(name, data, tmp_path / "a", steps=1)
    second, _ = distil(name, other, tmp_path / "b", steps=1)
    assert torch.equal(first.pixels, second.pixels)
    files = [first.save(tmp_path / "1.safetensors"), second.save(tmp_path / "2.safetensors")]
    assert file_digest(files[0]) == file_digest(files[1])


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_method_describes_itself(name: str) -> None:
    method = registry.get(name)
    defaults = method.hyperparameters()
    assert method.name == name
    assert method.title
    assert method.reference
    assert method.real_side <= set(defaults.model_dump())
    context = Context("cifar10", 3, 32, 10, 10, 100)
    assert method.base_of(context) in (None, *registry.names())
    assert method.base == method.base_of(context)
    assert method.gigaflops(context, method.defaults(context).model_dump()) > 0


@pytest.mark.parametrize("name", sorted(SMALL))
def test_nothing_searched_belongs_to_the_real_side_or_changes_the_assets(name: str) -> None:
    import optuna

    method: Method = registry.get(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    context = Context("cifar10", 3, 32, 10, 10, 100, measured={"d95": 5.0})
    for _ in range(20):
        values = method.space(study.ask(), context)
        assert not set(values) & method.real_side
        assert set(values) <= set(method.hyperparameters.model_fields)
        method.hyperparameters.model_validate({**method.defaults(context).model_dump(), **values})


def test_the_distillers_are_those_of_the_methods(tmp_path: Path) -> None:
    data = load_data("digits")
    store = AssetStore(tmp_path, data, Compute(CPU))
    kinds = {}
    for name in ("dm", "iid", "idm", "idc"):
        method, context = registry.get(name), context_of(data, name, ipc=1)
        distiller = method.distiller(method.defaults(context), context, data, store, 0, CPU)
        kinds[name] = type(distiller)
        assert distiller.distilled().manifest["method"] == name
        assert distiller.distilled().recipe["protocol"] == method.protocol
    assert kinds == {"dm": DM, "iid": IID, "idm": IDM, "idc": IDC}
    assert not tmp_path.joinpath("assets").exists()  # at IPC 1 no pool was trained
    assert list(tmp_path.iterdir()) == []
    context = context_of(data, "udd", ipc=1)
    values = registry.get("udd").defaults(context)
    assert isinstance(registry.get("udd").distiller(values, context, data, store, 0, CPU), UDD)
    assert [path.name.split("-")[0] for path in tmp_path.iterdir() if path.is_dir()] == ["features"]
    for name, kind in (("sre2l", SRe2L), ("dwa", DWA)):
        context = context_of(data, name, ipc=1)
        values = registry.get(name).defaults(context)
        assert type(registry.get(name).distiller(values, context, data, store, 0, CPU)) is kind
    folders = sorted(path.name.split("-")[0] for path in tmp_path.iterdir() if path.is_dir())
    assert folders == ["features", "teacher"]  # the two share a teacher


@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_default_set_has_as_many_training_images_as_the_method_says(name: str, tmp_path: Path) -> None:
    data = load_data("digits")
    context = context_of(data, name)
    method = registry.get(name)
    values = method.defaults(context)
    store = AssetStore(tmp_path, data, Compute(CPU))
    distilled = method.distiller(values, context, data, store, 0, CPU).distilled()
    assert method.recipe(values, context, data, store, CPU) == distilled.recipe
    assert len(distilled.images()) == method.training_images(context, values.model_dump())
