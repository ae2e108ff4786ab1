import pytest
import torch

from raydd.devices import Compute
from raydd.registry import AssetSpec
from raydd.storage import AssetStore
from raydd.storage.stand_ins import StandInStore

RECIPE = {"epochs": 5, "batch": 16}


@pytest.fixture
def compute():
    return Compute(torch.device("cpu"))


def test_stand_ins_are_what_assets_are_but_for_the_weights(data, compute, tmp_path):
    spec = AssetSpec("pool", "convnet-d1-w4", RECIPE, count=2)
    trained = AssetStore(tmp_path / "assets", data, compute).get(spec)
    untrained = StandInStore(data, compute).get(spec)
    assert len(untrained) == 2
    for asset, other in zip(trained, untrained):
        shapes = {name: value.shape for name, value in asset.state_dict().items()}
        assert {name: value.shape for name, value in other.state_dict().items()} == shapes
        assert not other.training
        assert not any(parameter.requires_grad for parameter in other.parameters())


def test_nothing_is_written_or_found(data, compute, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = StandInStore(data, compute, tmp_path / "bank")
    spec = AssetSpec("teacher", "convnet-d1-w4-bn", RECIPE)
    store.get(spec)
    teacher = store.teacher(spec)
    assert list(tmp_path.iterdir()) == []
    assert store.find(spec) is None
    assert store.bank == tmp_path / "bank"
    assert StandInStore(data, compute).bank is None
    assert teacher.network(data.channels, data.size, data.classes)(torch.zeros(1, 3, 8, 8)).shape == (1, 3)


def test_batch_norms_know_the_images_so_that_features_neither_grow_nor_vanish(data, compute):
    (net,) = StandInStore(data, compute).get(AssetSpec("teacher", "resnet18-bn-w8", RECIPE))
    images = data.normalisation.apply(data.train.take(torch.arange(60)))
    with torch.no_grad():
        assert 0.1 < float(net.embed(images).std()) < 10.0
    (norm, *_) = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norm.momentum == 0.1
    assert float(norm.running_mean.abs().sum()) > 0.0
