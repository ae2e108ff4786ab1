from __future__ import annotations

import pytest

from raydd.errors import ConfigError
from raydd.evaluation import PROTOCOLS, names, protocols


def test_names_are_dc_and_dsa() -> None:
    assert names() == ["dc", "dsa"]


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


@pytest.mark.parametrize("epochs", [0, -3])
def test_less_than_one_epoch_is_refused(epochs: int) -> None:
    with pytest.raises(ConfigError, match=rf"evaluation.epochs: must be at least 1, got {epochs}"):
        PROTOCOLS["dc"].recipe("", epochs)


def test_an_unknown_protocol_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown protocol 'dsaa': did you mean 'dsa'\? \(allowed: dc, dsa\)"
    ):
        protocols.get("dsaa")
