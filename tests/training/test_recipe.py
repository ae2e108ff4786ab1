from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from raydd.data import ArrayImages
from raydd.errors import ConfigError
from raydd.normalisation import Normalisation
from raydd.training import DataSource, Recipe, TensorSource


def test_a_recipe_survives_json_with_every_field() -> None:
    recipe = Recipe(epochs=3, batch=8, lr=0.1, decay_epochs=(1, 2), augmentation="crop_flip")
    assert json.loads(json.dumps(recipe.to_json())) == {
        "epochs": 3,
        "batch": 8,
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "decay_epochs": [1, 2],
        "decay": 0.1,
        "augmentation": "crop_flip",
    }


def test_json_names_the_later_fields_only_where_they_are_used_so_that_old_keys_stay() -> None:
    plain = Recipe(epochs=3).to_json()
    assert set(plain) == {
        *("epochs", "batch", "lr", "momentum", "weight_decay", "decay_epochs", "decay", "augmentation"),
    }
    mixed = Recipe(epochs=3, decay_epochs=(1,), cutmix=0.5, decay_resets_momentum=False)
    fields = json.loads(json.dumps(mixed.to_json()))
    assert fields == {**plain, "decay_epochs": [1], "cutmix": 0.5, "decay_resets_momentum": False}
    assert Recipe(**{**fields, "decay_epochs": (1,)}) == mixed


@pytest.mark.parametrize("cutmix", [-0.1, 1.5, float("nan")])
def test_cutmix_is_a_probability(cutmix: float) -> None:
    with pytest.raises(ConfigError, match=rf"cutmix: must be a probability in \[0, 1\], got {cutmix}"):
        Recipe(epochs=1, cutmix=cutmix)


def test_defaults_are_those_of_dcs_evaluation() -> None:
    recipe = Recipe(epochs=1)
    assert (recipe.batch, recipe.lr, recipe.momentum, recipe.weight_decay) == (256, 0.01, 0.9, 5e-4)


def test_images_and_labels_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError, match="3 images and 2 labels"):
        TensorSource(torch.zeros(3, 1, 4, 4), torch.zeros(2, dtype=torch.int64))


def test_a_source_knows_its_classes() -> None:
    images = torch.zeros(3, 1, 4, 4)
    assert TensorSource(images, torch.tensor([0, 2, 1])).classes == 3
    assert TensorSource(images, torch.tensor([0, 2, 1]), classes=5).classes == 5
    assert TensorSource(images, torch.full((3, 7), 1 / 7)).classes == 7
    data = ArrayImages(np.zeros((3, 1, 4, 4), dtype=np.uint8), [0, 2, 1], classes=4)
    assert DataSource(data, Normalisation((0.5,), (0.5,)), torch.device("cpu")).classes == 4
