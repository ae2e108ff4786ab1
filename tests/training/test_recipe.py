from __future__ import annotations

import json

import pytest
import torch

from raydd.training import Recipe, TensorSource


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


def test_defaults_are_those_of_dcs_evaluation() -> None:
    recipe = Recipe(epochs=1)
    assert (recipe.batch, recipe.lr, recipe.momentum, recipe.weight_decay) == (256, 0.01, 0.9, 5e-4)


def test_images_and_labels_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError, match="3 images and 2 labels"):
        TensorSource(torch.zeros(3, 1, 4, 4), torch.zeros(2, dtype=torch.int64))
