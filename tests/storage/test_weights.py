"""Weights that were trained elsewhere: known by their bytes, read without running code, refused if they do not fit."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from raydd import nets
from raydd.data import DataSplits
from raydd.devices import Compute
from raydd.errors import ArtifactError, ConfigError
from raydd.registry import AssetSpec
from raydd.storage import AssetStore
from raydd.training import accuracies

CPU = Compute(torch.device("cpu"))
NET = "convnet-d1-w4-bn"


def network(seed: int = 7, net: str = NET) -> nets.Network:
    return nets.build(net, channels=3, size=8, classes=3, generator=torch.Generator().manual_seed(seed))


def spec(path: Path) -> AssetSpec:
    return AssetSpec("teacher", NET, {"epochs": 2}, weights=str(path))


@pytest.fixture
def store(data: DataSplits, tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "assets", data, CPU)


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_given_weights_are_used_as_they_are(
    kind: str, store: AssetStore, data: DataSplits, tmp_path: Path
) -> None:
    own = network()
    path = tmp_path / f"weights.{kind}"
    if kind == "pt":
        torch.save(own.state_dict(), path)
    else:
        safetensors.torch.save_file(own.state_dict(), path)
    lines: list[str] = []
    (net,) = store.get(spec(path), lines.append)
    assert lines == [f"teacher network 1 of 1: weights from {path}"]
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in own.state_dict().items())
    record = store.record(spec(path))
    assert record["pretrained"] is True
    assert record["facts"]["recipe"] is None
    assert record["train_accuracy"] == accuracies([own], data.train, data.normalisation, CPU)
    facts = store.teacher(spec(path)).facts
    assert (facts["pretrained"], facts["epochs"]) == (True, 0)


def test_they_are_known_by_their_bytes_wherever_they_lie(store: AssetStore, tmp_path: Path) -> None:
    first, second, other = (tmp_path / f"{name}.safetensors" for name in ("first", "second", "other"))
    for path, seed in ((first, 7), (second, 7), (other, 8)):
        safetensors.torch.save_file(network(seed).state_dict(), path)
    store.get(spec(first))
    assert store.find(spec(second)) == store.find(spec(first)) is not None
    assert store.find(spec(other)) is None
    trained = dataclasses.replace(spec(first), weights="")
    assert store.find(trained) is None
    assert "weights" not in store.facts(trained)  # the keys of trained assets are what they were


def test_an_assets_own_file_can_be_given(store: AssetStore, data: DataSplits, tmp_path: Path) -> None:
    trained = AssetSpec("teacher", NET, {"epochs": 1, "batch": 16})
    (net,) = store.get(trained)
    elsewhere = AssetStore(tmp_path / "other" / "assets", data, CPU)
    path = store.find(trained) / "model.safetensors"  # type: ignore[operator]
    (again,) = elsewhere.get(spec(path))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in net.state_dict().items())


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harm-done",)


def test_what_is_no_file_of_tensors_is_refused(
    store: AssetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    missing = tmp_path / "nothing.pt"
    with pytest.raises(ArtifactError, match=f"weights: there is no file {missing}"):
        store.get(spec(missing))
    for name, content in (("text.pt", b"weights"), ("text.safetensors", b"weights" * 9)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArtifactError, match=rf"weights: .*{name} holds no tensors by name"):
            store.get(spec(tmp_path / name))
    for name, held in (("code.pt", Harmful()), ("list.pt", [torch.zeros(3)]), ("nested.pt", {"state": {}})):
        torch.save(held, tmp_path / name)
        with pytest.raises(ArtifactError, match=rf"weights: .*{name} holds no tensors by name"):
            store.get(spec(tmp_path / name))
    torch.save({1: torch.zeros(3)}, tmp_path / "numbers.pt")
    # Bytes that torch's unpickler trips over with an IndexError, a KeyError and a struct.error.
    tripping = {
        "pop": b"\x80\x02.",
        "memo": b"\x80\x02h\x07.",
        "short": b"\x80\x02J\x01",
        "ascii": b"\x80\x02c\xff\n\xff\n.",
    }
    for name, content in tripping.items():
        (tmp_path / f"{name}.pt").write_bytes(content)
    for name in ("numbers", *tripping):
        with pytest.raises(ArtifactError, match=rf"weights: .*{name}.pt holds no tensors by name"):
            store.get(spec(tmp_path / f"{name}.pt"))
    assert not (tmp_path / "harm-done").exists()
    assert list((tmp_path / "assets").glob("teacher-*")) == []


def test_weights_of_another_network_are_refused(store: AssetStore, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file(network(net="convnet-d1-w8-bn").state_dict(), path)
    with pytest.raises(
        ArtifactError, match=r"weights: .*other.safetensors holds another network's weights; "
    ):
        store.get(spec(path))


def test_public_weights_are_refused_before_a_download_where_there_are_none(store: AssetStore) -> None:
    with pytest.raises(ConfigError, match=r"weights: there are no public weights of 'convnet-d1-w4-bn'"):
        store.get(AssetSpec("teacher", NET, {}, weights="public"))
    with pytest.raises(
        ConfigError,
        match=r"weights: public weights of resnet18-bn tell the 1000 classes of .* got 3 classes$",
    ):
        store.get(AssetSpec("teacher", "resnet18-bn", {}, weights="public"))
