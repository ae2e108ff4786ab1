from __future__ import annotations

import json
import math
from typing import Any

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


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mixup": -0.1}, r"mixup: must be at least 0 and finite, got -0\.1"),
        ({"mixup": float("nan")}, r"mixup: must be at least 0 and finite, got nan"),
        (
            {"mixup": 0.8, "cutmix": 0.5},
            r"mixup: CutMix and MixUp exclude each other, got mixup 0\.8 and cutmix 0\.5",
        ),
        ({"optimiser": "adam"}, r"optimiser: unknown optimiser 'adam': did you mean 'adamw'\?"),
        ({"schedule": "cos"}, r"schedule: unknown schedule 'cos'.*\(allowed: cosine, steps\)"),
        (
            {"schedule": "cosine", "decay_epochs": (1,)},
            r"decay_epochs: belong to the schedule 'steps', got \[1\] with 'cosine'",
        ),
        ({"warmup": 4}, r"warmup: must be 0 to all 3 epochs, got 4"),
        ({"warmup": -1}, r"warmup: must be 0 to all 3 epochs, got -1"),
        ({"temperature": 0.0}, r"temperature: must be in \[0\.01, 10000\], got 0\.0$"),
        ({"temperature": float("nan")}, r"temperature: must be in \[0\.01, 10000\], got nan$"),
        ({"temperature": 1e-300}, r"temperature: must be in \[0\.01, 10000\], got 1e-300$"),
        ({"temperature": 1e300}, r"temperature: must be in \[0\.01, 10000\], got 1e\+300$"),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_sentence(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        Recipe(epochs=3, **fields)
    assert len(caught.value.problems) == 1


def test_a_recipe_of_sre2l_survives_json_with_every_field() -> None:
    recipe = Recipe(
        epochs=3,
        optimiser="adamw",
        schedule="cosine",
        warmup=1,
        decay_matrices_only=True,
        mixup=0.8,
        temperature=30.0,
        temperature_squared=True,
    )
    fields = json.loads(json.dumps(recipe.to_json()))
    assert {name: fields[name] for name in list(fields)[8:]} == {
        "optimiser": "adamw",
        "schedule": "cosine",
        "warmup": 1,
        "decay_matrices_only": True,
        "mixup": 0.8,
        "temperature": 30.0,
        "temperature_squared": True,
    }
    assert Recipe.from_json(fields) == recipe


def test_the_ends_of_the_temperatures_are_allowed() -> None:
    assert [Recipe(epochs=1, temperature=each).temperature for each in (0.01, 10_000)] == [0.01, 10_000]


def test_a_recipe_comes_back_from_json() -> None:
    recipe = Recipe(epochs=4, batch=7, decay_epochs=(1, 3), augmentation="standard:crop", cutmix=1.0)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    assert Recipe.from_json({"epochs": 2}) == Recipe(epochs=2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("fast", r"recipe: must have names and values, got 'fast'"),
        ({"batch": 3}, r"epochs: is missing, and a recipe has it"),
        ({"epochs": 2, "bach": 3}, r"recipe: unknown field 'bach': did you mean 'batch'\?.*"),
        ({"epochs": "two"}, r"epochs: must be a whole number, got 'two'"),
        ({"epochs": True}, r"epochs: must be a whole number, got True"),
        ({"epochs": 2, "lr": "x"}, r"lr: must be a number, got 'x'"),
        ({"epochs": 2, "augmentation": None}, r"augmentation: must be a text, got None"),
        ({"epochs": 2, "temperature_squared": 1}, r"temperature_squared: must be true or false, got 1"),
        ({"epochs": 2, "decay_epochs": ["a"]}, r"decay_epochs: must be a list of numbers, got \['a'\]"),
        ({"epochs": 2, "mixup": -1}, r"mixup: must be at least 0 and finite, got -1"),
    ],
)
def test_json_that_is_no_recipe_is_refused_in_one_sentence(fields: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$") as caught:
        Recipe.from_json(fields)
    assert len(caught.value.problems) == 1


def rates(**fields: Any) -> list[float]:
    recipe = Recipe(**fields)
    return [recipe.rate(epoch) for epoch in range(recipe.epochs)]


def test_a_cosine_falls_to_what_comes_before_zero() -> None:
    assert rates(epochs=4, lr=1.0, schedule="cosine") == pytest.approx([1.0, 0.85355339, 0.5, 0.14644661])
    assert rates(epochs=1, lr=0.3, schedule="cosine") == [0.3]
    assert rates(epochs=400, lr=1e-3, schedule="cosine")[-1] == pytest.approx(
        1e-3 * (1 + math.cos(math.pi * 399 / 400)) / 2, rel=1e-12
    )


def test_a_warm_up_rises_from_one_percent_and_the_cosine_takes_the_rest() -> None:
    assert rates(epochs=7, lr=0.2, schedule="cosine", warmup=3) == pytest.approx(
        [0.002, 0.068, 0.134, 0.2, 0.17071068, 0.1, 0.02928932]
    )
    assert rates(epochs=2, lr=1.0, schedule="cosine", warmup=2) == pytest.approx([0.01, 0.505])


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (2, 1), (20, 5), (200, 5)])
def test_the_rates_of_a_warmed_up_cosine_are_those_of_torchs_schedules(epochs: int, warmup: int) -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=epochs - warmup)
    scheduler: torch.optim.lr_scheduler.LRScheduler = cosine
    if warmup:
        rise = torch.optim.lr_scheduler.LinearLR(optimiser, start_factor=0.01, total_iters=warmup)
        scheduler = torch.optim.lr_scheduler.SequentialLR(optimiser, [rise, cosine], milestones=[warmup])
    for rate in rates(epochs=epochs, lr=0.2, schedule="cosine", warmup=warmup):
        assert rate == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-6, abs=1e-9)
        optimiser.step()
        scheduler.step()


def test_steps_fall_after_the_epochs_that_are_named_and_can_be_warmed_up() -> None:
    assert rates(epochs=5, lr=1.0, decay_epochs=(1, 3, 3), decay=0.5) == [1.0, 1.0, 0.5, 0.5, 0.125]
    assert rates(epochs=5, lr=1.0, decay_epochs=(2,), warmup=2) == pytest.approx([0.01, 0.505, 1.0, 0.1, 0.1])


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
    assert [TensorSource(images, kind).soft for kind in (torch.zeros(3, dtype=int), torch.ones(3, 1))] == [
        False,
        True,
    ]
    data = ArrayImages(np.zeros((3, 1, 4, 4), dtype=np.uint8), [0, 2, 1], classes=4)
    assert DataSource(data, Normalisation((0.5,), (0.5,)), torch.device("cpu")).classes == 4
