from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from raydd.errors import ConfigError
from raydd.evaluation import PROTOCOLS, names, protocols


def test_names_are_sorted() -> None:
    assert names() == ["dc", "dsa", "dwa-imagenet", "idc", "sre2l-cifar", "sre2l-imagenet", "sre2l-tiny"]


@pytest.mark.parametrize(
    ("protocol", "epochs", "run", "drop", "augmentation"),
    [
        ("dsa", None, 1001, 501, "crop_flip"),
        ("dc", None, 301, 151, ""),
        ("dsa", 300, 301, 151, "crop_flip"),
        ("dsa", 7, 8, 4, "crop_flip"),
        ("dc", 2, 3, 2, ""),
        ("dc", 1, 2, 1, ""),
    ],
)
def test_e_plus_one_epochs_are_run_and_the_rate_drops_after_epoch_half_e_plus_one(
    protocol: str, epochs: int | None, run: int, drop: int, augmentation: str
) -> None:
    recipe = PROTOCOLS[protocol].recipe("crop_flip", epochs)
    assert recipe.to_json() == {
        "epochs": run,
        "batch": 256,
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "decay_epochs": [drop],
        "decay": 0.1,
        "augmentation": augmentation,
    }


@pytest.mark.parametrize(
    ("epochs", "run", "drops"),
    [
        (None, 1000, [665, 832]),
        (2000, 2000, [1332, 1665]),
        (300, 300, [199, 249]),
        (7, 7, [3, 4]),
        (2, 2, [0, 0]),
    ],
)
def test_idc_runs_e_epochs_and_the_rate_drops_when_two_thirds_and_five_sixths_are_done(
    epochs: int | None, run: int, drops: list[int]
) -> None:
    assert PROTOCOLS["idc"].recipe("idc:color_crop", epochs).to_json() == {
        "epochs": run,
        "batch": 64,
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "decay_epochs": drops,
        "decay": 0.2,
        "augmentation": "idc:color_crop",
        "cutmix": 0.5,
        "decay_resets_momentum": False,
    }


@pytest.mark.parametrize("epochs", [2, 3, 4, 5, 6, 7, 10, 100, 300, 1000])
def test_the_rates_of_idc_are_those_of_torchs_multi_step_schedule(epochs: int) -> None:
    recipe = PROTOCOLS["idc"].recipe("", epochs)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(
        optimiser, milestones=[2 * epochs // 3, 5 * epochs // 6], gamma=0.2
    )
    for epoch in range(epochs):
        ours = recipe.lr * recipe.decay ** sum(past < epoch for past in recipe.decay_epochs)
        assert ours == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-12)
        optimiser.step()
        scheduler.step()


def test_one_epoch_of_idc_has_the_full_rate() -> None:
    recipe = PROTOCOLS["idc"].recipe("", 1)
    assert (recipe.epochs, recipe.decay_epochs) == (1, ())


def test_a_sets_own_cutmix_goes_before_the_protocols_and_dc_and_dsa_never_mix() -> None:
    assert [PROTOCOLS["idc"].recipe("", 5, own).cutmix for own in (None, 0.0, 0.3, 1.0)] == [
        0.5,
        0.0,
        0.3,
        1.0,
    ]
    for name in ("dc", "dsa"):
        assert [PROTOCOLS[name].recipe("", 5, own).cutmix for own in (None, 0.0, 1.0)] == [0.0, 0.0, 0.0]


SRE2L: dict[str, dict[str, Any]] = {
    "sre2l-cifar": {
        "epochs": 400,
        "batch": 128,
        "lr": 1e-3,
        "weight_decay": 0.01,
        "optimiser": "adamw",
        "mixup": 0.8,
        "temperature": 30.0,
    },
    "sre2l-tiny": {
        "epochs": 200,
        "batch": 64,
        "lr": 0.2,
        "weight_decay": 1e-4,
        "cutmix": 1.0,
        "warmup": 5,
        "temperature": 20.0,
        "temperature_squared": True,
    },
    "sre2l-imagenet": {
        "epochs": 300,
        "batch": 1024,
        "lr": 1e-3,
        "weight_decay": 0.01,
        "cutmix": 1.0,
        "optimiser": "adamw",
        "decay_matrices_only": True,
        "temperature": 20.0,
    },
}
SRE2L["dwa-imagenet"] = {**SRE2L["sre2l-imagenet"], "batch": 128}


@pytest.mark.parametrize("name", list(SRE2L))
def test_sre2l_and_dwa_train_as_their_scripts_do(name: str) -> None:
    assert PROTOCOLS[name].recipe("standard:crop_flip").to_json() == {
        "momentum": 0.9,
        "decay_epochs": [],
        "decay": 0.1,
        "augmentation": "standard:crop_flip",
        "schedule": "cosine",
        **SRE2L[name],
    }
    assert PROTOCOLS[name].recipe("standard:rrc_flip", 17).epochs == 17


def test_a_short_training_on_tiny_imagenet_rises_for_half_of_its_epochs() -> None:
    protocol = PROTOCOLS["sre2l-tiny"]
    assert [protocol.recipe("", epochs).warmup for epochs in (1, 2, 3, 9, 10, 11, 200)] == [
        0,
        1,
        1,
        4,
        5,
        5,
        5,
    ]
    rates = [protocol.recipe("", 10).rate(epoch) for epoch in range(10)]
    assert rates[:6] == pytest.approx([0.002, 0.0416, 0.0812, 0.1208, 0.1604, 0.2])
    assert rates[9] == pytest.approx(0.2 * (1 + math.cos(math.pi * 4 / 5)) / 2)


def test_what_a_set_says_of_mixing_and_temperature_goes_before_the_protocols() -> None:
    cifar, tiny = PROTOCOLS["sre2l-cifar"], PROTOCOLS["sre2l-tiny"]
    recipe = cifar.recipe("", 5, cutmix=0.5, mixup=0.3, temperature=4.0)
    assert (recipe.cutmix, recipe.mixup, recipe.temperature) == (0.0, 0.3, 4.0)
    recipe = tiny.recipe("", 5, 0.5, 0.3, 4.0)
    assert (recipe.cutmix, recipe.mixup, recipe.temperature) == (0.5, 0.0, 4.0)
    assert cifar.recipe("", 5, mixup=0.0).mixup == 0.0
    recipe = PROTOCOLS["dsa"].recipe("", 5, 0.5, 0.3, 4.0)
    assert (recipe.cutmix, recipe.mixup, recipe.temperature) == (0.0, 0.0, 4.0)


def test_a_temperature_or_an_alpha_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"temperature: must be in \[0\.01, 10000\], got 0\.0$"):
        PROTOCOLS["sre2l-cifar"].recipe("", temperature=0.0)
    with pytest.raises(ConfigError, match=r"mixup: must be at least 0 and finite, got -1\.0"):
        PROTOCOLS["sre2l-cifar"].recipe("", mixup=-1.0)


@pytest.mark.parametrize(
    ("name", "dsa", "expected"),
    [
        ("sre2l-tiny", "color_crop_cutout_scale_rotate", "standard:rrc"),
        ("dwa-imagenet", "color_crop_flip", "standard:rrc_flip"),
        ("sre2l-cifar", "color_crop_cutout_scale_rotate", "standard:crop"),
        ("sre2l-cifar", "color_crop_flip", "standard:crop_flip"),
        ("idc", "color_crop_cutout_flip", "idc:color_crop_flip"),
        ("dsa", "color_crop", "color_crop"),
        ("sre2l-tiny", "", ""),
    ],
)
def test_data_that_must_not_be_mirrored_are_mirrored_by_no_protocol(
    name: str, dsa: str, expected: str
) -> None:
    assert protocols.augmentation(name, dsa) == expected


@pytest.mark.parametrize("name", ["dc", "dsa", "idc", "sre2l-cifar", "sre2l-tiny"])
@pytest.mark.parametrize("images", [1, 10, 64, 65, 200, 256, 257, 1000])
def test_the_epochs_for_a_number_of_steps_are_those_that_come_nearest(name: str, images: int) -> None:
    protocol = PROTOCOLS[name]

    def steps_of(epochs: int) -> int:
        recipe = protocol.recipe("", epochs)
        return recipe.epochs * math.ceil(images / recipe.batch)

    for steps in (1, 2, 3, 7, 10, 100, 333):
        found = protocol.epochs_near(steps, images)
        distances = [abs(steps_of(epochs) - steps) for epochs in range(1, 400)]
        assert found == distances.index(min(distances)) + 1


@pytest.mark.parametrize("epochs", [0, -3])
def test_less_than_one_epoch_is_refused(epochs: int) -> None:
    with pytest.raises(ConfigError, match=rf"evaluation.epochs: must be at least 1, got {epochs}"):
        PROTOCOLS["dc"].recipe("", epochs)


def test_less_than_one_step_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"evaluation.steps: must be at least 1, got 0"):
        PROTOCOLS["dc"].epochs_near(0, 10)


def test_an_unknown_protocol_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        ConfigError,
        match=r"unknown protocol 'dsaa': did you mean 'dsa'\? \(allowed: dc, dsa, dwa-imagenet, idc, sre2l",
    ):
        protocols.get("dsaa")
