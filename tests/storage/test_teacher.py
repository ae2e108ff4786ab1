"""A teacher is data: weights with facts, a network whenever one is wanted, found again by its sha256 alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from raydd.data import DataSplits
from raydd.devices import Compute
from raydd.errors import ArtifactError
from raydd.registry import AssetSpec
from raydd.storage import AssetStore, Teacher
from raydd.storage.teacher import find
from raydd.storage.weights import weights_digest

CPU = Compute(torch.device("cpu"))
SPEC = AssetSpec("teacher", "convnet-d1-w4-bn", {"epochs": 2, "batch": 16, "lr": 0.1})


@pytest.fixture
def store(data: DataSplits, tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "home" / "assets", data, CPU)


def images(count: int = 5) -> torch.Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def by_hand(state: dict[str, torch.Tensor]) -> str:
    """sha256 over name, dtype, shape and bytes of the tensors by name."""
    content = b""
    for name in sorted(state):
        content += f"{name} {state[name].dtype} {list(state[name].shape)}\n".encode()
        content += state[name].numpy().tobytes()
    return hashlib.sha256(content).hexdigest()


def test_a_digest_of_weights_tells_names_kinds_shapes_and_bytes_apart() -> None:
    state = {"b": torch.arange(6.0), "a": torch.tensor(3)}
    others = [
        {"b": torch.arange(6.0), "c": torch.tensor(3)},
        {"b": torch.arange(6.0).view(2, 3), "a": torch.tensor(3)},
        {"b": torch.arange(6.0).view(torch.int32), "a": torch.tensor(3)},
        {"b": torch.arange(6.0), "a": torch.tensor(4)},
    ]
    assert len({weights_digest(each) for each in [state, *others]}) == 5
    assert weights_digest(dict(reversed(state.items()))) == weights_digest(state) == by_hand(state)
    transposed = {"b": torch.arange(6.0).view(2, 3).T}
    assert weights_digest(transposed) == weights_digest({"b": transposed["b"].contiguous()})


def test_a_teacher_is_its_asset_with_batch_statistics_and_facts(store: AssetStore) -> None:
    lines: list[str] = []
    teacher = store.teacher(SPEC, lines.append)
    assert lines == ["teacher network 1 of 1: epoch 1 of 2", "teacher network 1 of 1: epoch 2 of 2"]
    (net,) = store.get(SPEC)
    record = store.record(SPEC)
    assert teacher.facts == {
        "asset": store.find(SPEC).name,  # type: ignore[union-attr]
        "sha256": record["sha256"],
        "weights": by_hand(teacher.state),
        "net": "convnet-d1-w4-bn",
        "epochs": 2,
        "train_accuracy": record["train_accuracy"][0],
        "pretrained": False,
    }
    assert any(name.endswith("running_var") for name in teacher.state)
    assert torch.equal(teacher.network(3, 8, 3)(images()), net(images()))
    assert teacher.stored_bytes == sum(each.nbytes for each in net.state_dict().values())
    assert len(store.teacher(SPEC, lines.append).state) == len(teacher.state)
    assert len(lines) == 2  # found, not trained again


def test_its_networks_are_frozen_in_eval_mode_and_nobody_elses(store: AssetStore) -> None:
    teacher = store.teacher(SPEC)
    first, second = teacher.network(3, 8, 3), teacher.network(3, 8, 3)
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())
    before = second(images())
    first.train()(images())  # moves its running statistics
    with torch.no_grad():
        first.classifier.weight.zero_()
    assert torch.equal(second(images()), before)
    assert torch.equal(teacher.network(3, 8, 3)(images()), before)


def test_weights_of_another_network_are_refused(store: AssetStore) -> None:
    teacher = store.teacher(SPEC)
    with pytest.raises(
        ArtifactError, match=r"weights: the teacher convnet-d1-w4-bn holds another .*classifier"
    ):
        teacher.network(3, 8, 4)
    other = Teacher("convnet-d1-w4", teacher.state, teacher.facts)
    with pytest.raises(ArtifactError, match="tensors are missing, unknown or of another shape, such as"):
        other.network(3, 8, 3)


def test_it_is_found_in_the_assets_of_any_folder_above_and_only_as_it_was(store: AssetStore) -> None:
    teacher, home = store.teacher(SPEC), store.root.parent
    deep = home / "studies" / "first" / "trials" / "0" / "distilled.safetensors"
    found = find(teacher.facts, deep)
    assert found is not None
    assert (found.net, found.facts) == (teacher.net, teacher.facts)
    assert all(torch.equal(found.state[name], value) for name, value in teacher.state.items())
    assert find(teacher.facts, home.parent / "set.safetensors") is None  # beside the home, not in it
    told = find(teacher.facts, home.parent / "set.safetensors", home)
    assert told is not None
    assert told.weights == teacher.weights
    assert find(teacher.facts, home.parent / "set.safetensors", home / "studies") is None
    assert find({**teacher.facts, "sha256": "0" * 64}, deep) is None
    # a manifest cannot lead out of the folders of assets
    assert find({**teacher.facts, "asset": f"../assets/{teacher.facts['asset']}"}, deep) is None
    outside = home / "model.safetensors"
    outside.write_bytes((store.find(SPEC) / "model.safetensors").read_bytes())  # type: ignore[operator]
    for name in ("..", ".", "", teacher.facts["asset"] + "\n", teacher.facts["asset"].upper()):
        assert find({**teacher.facts, "asset": name}, deep) is None
    path = store.find(SPEC) / "model.safetensors"  # type: ignore[operator]
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    assert find(teacher.facts, deep) is None


def test_it_is_found_in_assets_that_homes_share(
    data: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAYDD_ASSETS", raising=False)
    shared = tmp_path / "shared"
    teacher = AssetStore(shared, data, CPU).teacher(SPEC)
    file = tmp_path / "home" / "studies" / "first" / "trials" / "0" / "distilled.safetensors"
    assert find(teacher.facts, file) is None
    monkeypatch.setenv("RAYDD_ASSETS", str(shared))
    found = find(teacher.facts, file)
    assert found is not None
    assert found.weights == teacher.weights
    monkeypatch.delenv("RAYDD_ASSETS")
    study = tmp_path / "home" / "studies" / "first" / "study.yaml"
    study.parent.mkdir(parents=True)
    for text in ("- no study", "resources: 7", "resources: {assets: 7}", "{"):
        study.write_text(text)
        assert find(teacher.facts, file) is None
    study.write_text(f"resources: {{assets: {shared}}}")  # a later process need not know RAYDD_ASSETS
    assert find(teacher.facts, file) is not None
