from dataclasses import replace

import numpy as np
import pytest
import torch

from raydd import nets
from raydd.data import ArrayImages
from raydd.devices import Compute
from raydd.distillation import baselines
from raydd.formation import initial_images

RECIPE = {"protocol": "dsa", "net": "convnet-w4", "epochs": 5, "augmentation": "flip"}
CPU = Compute(torch.device("cpu"), "fp32", False)


@pytest.fixture(scope="module")
def net():
    generator = torch.Generator().manual_seed(0)
    return nets.build("convnet-w4", channels=3, size=8, classes=3, generator=generator).eval()


def of_size(data, count):
    labels = np.arange(count) % 3
    return replace(data, train=ArrayImages(np.zeros((count, 3, 4, 4), np.uint8), labels))


def test_the_network_is_trained_thirty_epochs_and_a_thousand_steps_at_least(data):
    spec = baselines.feature_network("convnet", of_size(data, 45_000))
    assert (spec.kind, spec.net, spec.count, spec.seed) == ("features", "convnet", 1, 0)
    assert spec.recipe == {
        "epochs": 30,
        "batch": 256,
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "augmentation": data.augmentation,
    }
    assert baselines.feature_network("convnet", of_size(data, 34 * 256)).recipe["epochs"] == 30  # 1,020 steps
    assert baselines.feature_network("convnet", of_size(data, 33 * 256)).recipe["epochs"] == 31  # 1,023 steps
    assert baselines.feature_network("convnet", of_size(data, 1150)).recipe["epochs"] == 200
    assert baselines.feature_network("convnet", of_size(data, 1150), 3).recipe["epochs"] == 3


def test_coresets_are_chosen_by_the_features_of_each_class_of_train(data, net):
    train_only = replace(data, val=None, test=None)
    rows = baselines.select(net, train_only, 4, ["herding", "k_center"], CPU)
    assert sorted(rows) == ["herding", "k_center"]
    first = 0
    for class_, count in enumerate((20, 12, 30)):
        images = data.normalisation.apply(data.train.take(range(first, first + count)))
        features = net.embed(images)
        for name, rule in baselines.CORESETS.items():
            chosen = rows[name][4 * class_ : 4 * class_ + 4] - first
            assert chosen.tolist() == rule(features, 4).tolist()
        first += count
    again = baselines.select(net, train_only, 4, ["herding"], CPU)
    assert again["herding"].tolist() == rows["herding"].tolist()


def test_a_coreset_is_a_set_of_those_training_images(data, context):
    rows = [3, 1, 0, 19, 20, 31, 25, 22, 32, 61, 40, 50]
    facts = {"net": "convnet-w4", "epochs": 5}
    coreset = baselines.selected_real("herding", rows, facts, data, context, RECIPE)
    assert torch.equal(coreset.images(), data.normalisation.apply(data.train.take(rows)))
    assert coreset.labels().tolist() == data.train.labels[rows].tolist()
    assert coreset.recipe == RECIPE
    assert (coreset.manifest["method"], coreset.manifest["hyperparameters"]) == ("herding", facts)


def test_equal_choices_give_equal_files(data, context, tmp_path):
    rows = [*range(4), *range(20, 24), *range(32, 36)]
    files = [
        baselines.selected_real("k_center", rows, {}, data, context, RECIPE).save(
            tmp_path / f"{i}.safetensors"
        )
        for i in range(2)
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_random_images_are_those_that_a_method_with_the_seed_starts_from(data, context):
    drawn = baselines.random_real(data, context, RECIPE, 7)
    assert torch.equal(drawn.images(), initial_images(data.train, 4, data.normalisation, 7))
    assert drawn.labels().tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert (drawn.manifest["method"], drawn.manifest["seed"], drawn.recipe) == ("random", 7, RECIPE)
    assert not torch.equal(drawn.images(), baselines.random_real(data, context, RECIPE, 8).images())


def test_all_but_random_images_take_a_network():
    named = ["random", "herding", "k_center", "full", None]
    assert [baselines.needs_network(name) for name in named] == [False, True, True, True, False]
