"""Assets: trained once, found again, never trusted blindly, and renamed by every fact they depend on."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from raydd import config as configuration
from raydd.data import ArrayImages, DataSplits
from raydd.devices import Compute
from raydd.errors import ArtifactError
from raydd.files import read_json
from raydd.normalisation import Normalisation
from raydd.registry import AssetSpec
from raydd.storage import AssetStore, assets

CPU = Compute(torch.device("cpu"))
SPEC = AssetSpec("pool", "convnet-w4", {"epochs": 2, "batch": 16}, count=2)


def weights(store: AssetStore, spec: AssetSpec = SPEC) -> list[torch.Tensor]:
    return [tensor for net in store.get(spec) for tensor in net.state_dict().values()]


def equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


def test_the_folder_of_assets_is_the_homes_unless_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert assets.root("home", None) == tmp_path / "home" / "assets"
    assert assets.root("home", "shared") == tmp_path / "shared"
    monkeypatch.setenv("RAYDD_ASSETS", "shared")
    config = configuration.build({"method": "iid", "home": "home"})
    assert config.resources.assets == str(tmp_path / "shared")
    monkeypatch.setenv("RAYDD_ASSETS", "other")
    # What a study was begun with stays, also where it was begun with none.
    again = configuration.build(yaml.safe_load(configuration.dump_yaml(config)))
    assert again.resources.assets == str(tmp_path / "shared")
    saved = config.replace(resources={"assets": None}).model_dump()
    assert configuration.build(saved).resources.assets is None


def test_shared_assets_leave_the_banks_in_the_home(data: DataSplits, tmp_path: Path) -> None:
    store = AssetStore(tmp_path / "shared", data, CPU, home=tmp_path / "home")
    assert store.bank == tmp_path / "home" / "bank"


def test_the_second_get_loads_the_same_bits_and_does_not_train(data: DataSplits, tmp_path: Path) -> None:
    lines: list[str] = []
    store = AssetStore(tmp_path / "assets", data, CPU)
    assert store.find(SPEC) is None
    first = store.get(SPEC, lines.append)
    assert lines == [f"pool network {net} of 2: epoch {epoch} of 2" for net in (1, 2) for epoch in (1, 2)]
    again = AssetStore(tmp_path / "assets", data, CPU).get(SPEC, lines.append)
    assert len(lines) == 4
    for one, other in zip(first, again):
        assert equal(list(one.state_dict().values()), list(other.state_dict().values()))
    assert store.find(SPEC) == next((tmp_path / "assets").glob("pool-*"))


def test_networks_come_frozen_in_eval_mode_and_trained_differently(data: DataSplits, tmp_path: Path) -> None:
    first, second = AssetStore(tmp_path, data, CPU).get(SPEC)
    assert not any(parameter.requires_grad for parameter in [*first.parameters(), *second.parameters()])
    assert not first.training
    assert not torch.equal(first.classifier.weight, second.classifier.weight)


def test_the_record_tells_accuracy_on_training_images_alone(data: DataSplits, tmp_path: Path) -> None:
    spec = dataclasses.replace(SPEC, recipe={"epochs": 15, "batch": 16, "lr": 0.05})
    store = AssetStore(tmp_path, data, CPU)
    store.get(spec)
    record = store.record(spec)
    assert set(record) == {"key", "sha256", "train_accuracy", "seconds", "facts", "machine"}
    assert len(record["train_accuracy"]) == 2
    assert min(record["train_accuracy"]) > 0.9  # bright channel = class
    assert record["seconds"] > 0
    assert record["key"].startswith(store.find(spec).name.removeprefix("pool-"))  # type: ignore[union-attr]
    assert record == read_json(store.find(spec) / "asset.json")  # type: ignore[operator]


def test_two_stores_train_equal_bits(data: DataSplits, tmp_path: Path) -> None:
    assert equal(
        weights(AssetStore(tmp_path / "a", data, CPU)), weights(AssetStore(tmp_path / "b", data, CPU))
    )


def test_validation_and_test_images_do_not_touch_the_weights(data: DataSplits, tmp_path: Path) -> None:
    random = np.random.default_rng(9)
    noise = ArrayImages(random.integers(0, 256, (15, 3, 8, 8), dtype=np.uint8), random.integers(0, 3, 15), 3)
    other = dataclasses.replace(data, val=noise, test=noise, fingerprint="0" * 64)
    assert equal(
        weights(AssetStore(tmp_path / "a", data, CPU)), weights(AssetStore(tmp_path / "b", other, CPU))
    )


def test_a_tampered_model_file_is_refused(data: DataSplits, tmp_path: Path) -> None:
    store = AssetStore(tmp_path, data, CPU)
    store.get(SPEC)
    path = store.find(SPEC) / "model.safetensors"  # type: ignore[operator]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=r"model.safetensors is not the file that was written"):
        store.get(SPEC)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"model.safetensors is missing; delete its folder"):
        store.get(SPEC)


def test_a_corrupt_or_foreign_record_is_refused(data: DataSplits, tmp_path: Path) -> None:
    store = AssetStore(tmp_path, data, CPU)
    store.get(SPEC)
    path = store.find(SPEC) / "asset.json"  # type: ignore[operator]
    whole = path.read_text()
    path.write_text(whole[:40])
    with pytest.raises(ArtifactError, match=r"asset.json is missing or corrupt"):
        store.get(SPEC)
    path.write_text(whole.replace(read_json_key(whole), "0" * 64))
    with pytest.raises(ArtifactError, match=r"asset.json belongs to another asset"):
        store.record(SPEC)
    with pytest.raises(ArtifactError, match=r"asset.json is missing or corrupt"):
        store.record(dataclasses.replace(SPEC, seed=5))


def read_json_key(text: str) -> str:
    import json

    return json.loads(text)["key"]


def test_every_fact_changes_the_key(
    data: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(changed: DataSplits = data, spec: AssetSpec = SPEC, device: str = "cpu", **way: Any) -> str:
        return AssetStore(tmp_path, changed, Compute(torch.device(device), **way))._folder(spec).name

    keys = {
        "as it is": key(),
        "precision": key(precision="mixed"),
        "path": key(compiled=True),
        "kind": key(spec=dataclasses.replace(SPEC, kind="teacher")),
        "net": key(spec=dataclasses.replace(SPEC, net="convnet-w8")),
        "epochs": key(spec=dataclasses.replace(SPEC, recipe={"epochs": 3, "batch": 16})),
        "optimiser": key(spec=dataclasses.replace(SPEC, recipe={"epochs": 2, "batch": 16, "lr": 0.1})),
        "augmentation": key(
            spec=dataclasses.replace(SPEC, recipe={"epochs": 2, "batch": 16, "augmentation": "flip"})
        ),
        "count": key(spec=dataclasses.replace(SPEC, count=3)),
        "asset seed": key(spec=dataclasses.replace(SPEC, seed=1)),
        "fingerprint": key(dataclasses.replace(data, fingerprint="0" * 64)),
        "train+val": key(data.train_and_val()),
        "split": key(dataclasses.replace(data, split={**data.split, "split_seed": 1})),
        "normalisation": key(dataclasses.replace(data, normalisation=Normalisation((0.3,) * 3, (0.2,) * 3))),
        "device": key(device="meta"),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    keys["threads"] = key()
    torch.set_num_threads(threads)
    monkeypatch.setattr(torch, "__version__", "0.0")
    keys["torch"] = key()
    monkeypatch.undo()
    monkeypatch.setattr("raydd.storage.assets.RECIPE_VERSION", 99)
    keys["recipe version"] = key()
    monkeypatch.undo()
    assert len(set(keys.values())) == len(keys)
    assert key() == keys["as it is"]
    spelled_out = dataclasses.replace(SPEC, recipe={"epochs": 2, "batch": 16, "lr": 0.01})
    assert key(spec=spelled_out) == key()  # a default written out is no other recipe


@pytest.mark.parametrize(
    ("size", "augmentation", "padding"),
    [
        (8, "standard:crop", 1),
        (28, "standard:crop_flip", 3),
        (32, "standard:crop_flip", None),
        (8, "standard:rrc_flip", None),
        (8, "color_crop", None),
        (8, "", None),
    ],
)
def test_the_key_tells_how_far_small_images_are_shifted_and_others_are_what_they_were(
    size: int, augmentation: str, padding: int | None, data: DataSplits, tmp_path: Path
) -> None:
    images = ArrayImages(np.zeros((3, 3, size, size), dtype=np.uint8), [0, 1, 2])
    store = AssetStore(tmp_path, dataclasses.replace(data, train=images, val=images, test=images), CPU)
    spec = dataclasses.replace(SPEC, recipe={"epochs": 2, "augmentation": augmentation})
    assert store.facts(spec).get("padding") == padding


def test_target_banks_lie_beside_the_assets_unless_nobody_would_share_them(
    data: DataSplits, tmp_path: Path
) -> None:
    assert AssetStore(tmp_path / "assets", data, CPU).bank == tmp_path / "bank"
    assert AssetStore(tmp_path / "assets", data, CPU, banked=False).bank is None


def test_several_that_ask_at_once_train_once(data: DataSplits, tmp_path: Path) -> None:
    lines: list[str] = []
    found: list[list[torch.Tensor]] = []

    def ask() -> None:
        store = AssetStore(tmp_path, data, CPU)
        found.append(
            [tensor for net in store.get(SPEC, lines.append) for tensor in net.state_dict().values()]
        )

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines) == 4
    assert equal(found[0], found[1])
    assert equal(found[0], found[2])
