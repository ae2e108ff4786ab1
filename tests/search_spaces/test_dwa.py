"""What SRe2L and DWA search, and which settings they carry."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from raydd.registry import Context
from search_spaces import dwa, sre2l

optuna.logging.set_verbosity(optuna.logging.ERROR)

COMMON = {"lr", "lambda_mean", "recover_iterations", "temperature"}


def context(dataset: str = "cifar10", ipc: int = 10, **other: Any) -> Context:
    values = {"channels": 3, "size": 32, "classes": 10, "ipc": ipc, "iterations": 1000}
    return Context(dataset, **{**values, "augmentation": "color_crop_flip", **other})


def suggested(space: Any, where: Context) -> dict[str, Any]:
    """Distributions that a trial draws from; every trial has the same ones."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = []
    for _ in range(20):
        trial = study.ask()
        assert set(space(trial, where)) == set(trial.distributions)
        seen.append(trial.distributions)
    assert all(each == seen[0] for each in seen)
    return seen[0]


def test_sre2l_searches_rate_weight_length_and_temperature() -> None:
    assert suggested(sre2l.space, context()) == {
        "lr": FloatDistribution(0.05, 0.5, log=True),
        "lambda_mean": FloatDistribution(1e-3, 1.0, log=True),
        "recover_iterations": IntDistribution(250, 1000, log=True),
        "temperature": FloatDistribution(10.0, 40.0),
    }


def test_dwa_searches_the_ascent_and_two_weights_besides() -> None:
    found = suggested(dwa.space, context())
    assert set(found) == COMMON | {"rho", "k", "lambda_var"}
    assert found["rho"] == FloatDistribution(1e-3, 5e-2, log=True)
    assert found["k"] == IntDistribution(1, 20)
    assert found["lambda_var"] == FloatDistribution(0.01, 0.23, log=True)
    assert found["lr"] == FloatDistribution(0.05, 0.5, log=True)


@pytest.mark.parametrize(
    ("method", "fixed", "expected"),
    [
        (dwa, {"coupled": True}, COMMON | {"rho", "k"}),
        (dwa, {"rho": 0.0}, COMMON | {"lambda_var"}),
        (dwa, {"rho": 0.01}, COMMON | {"lambda_var", "k"}),
        (dwa, {"labels": "hard"}, COMMON - {"temperature"} | {"rho", "k", "lambda_var"}),
        (dwa, {"labels": "image"}, COMMON | {"rho", "k", "lambda_var"}),
        (sre2l, {"coupled": False}, COMMON | {"lambda_var"}),
        (sre2l, {"labels": "hard", "lr": 0.1}, {"lambda_mean", "recover_iterations"}),
        (sre2l, {"recover_iterations": 50}, COMMON - {"recover_iterations"}),
    ],
)
def test_what_is_fixed_or_without_effect_is_not_suggested(method: Any, fixed: dict, expected: set) -> None:
    assert set(suggested(method.space, context(fixed=fixed))) == expected
    for point in method.points(context("cifar100", fixed=fixed)):
        assert set(point) <= expected


@pytest.mark.parametrize(("iterations", "low"), [(1, 1), (3, 1), (10, 2), (4000, 1000)])
def test_a_recovery_is_a_quarter_of_the_studys_iterations_at_least(iterations: int, low: int) -> None:
    found = suggested(sre2l.space, context(iterations=iterations))
    assert found["recover_iterations"] == IntDistribution(low, iterations, log=True)


def test_the_published_settings_are_the_authors() -> None:
    cifar = {"rho": 0.015, "k": 12, "lr": 0.25, "lambda_mean": 0.01, "lambda_var": 0.11}
    length = {"recover_iterations": 1000}
    for dataset in ("cifar10", "cifar100"):
        for ipc in (10, 50):
            assert dwa.points(context(dataset, ipc)) == [{**cifar, **length, "temperature": 30.0}]
    assert dwa.points(context("tinyimagenet", 50, size=64)) == [
        {**cifar, **length, "lr": 0.1, "temperature": 20.0}
    ]
    assert dwa.points(context("imagenet", 10, size=224)) == [
        {**cifar, **length, "lambda_var": 0.02, "k": 15, "temperature": 20.0}
    ]
    assert sre2l.points(context()) == []  # there is none for CIFAR-10
    assert sre2l.points(context("cifar100")) == [
        {"lr": 0.25, "lambda_mean": 0.01, **length, "temperature": 30.0}
    ]
    assert sre2l.points(context("tinyimagenet", 100, size=64)) == [
        {"lr": 0.1, "lambda_mean": 1.0, **length, "temperature": 20.0}
    ]


@pytest.mark.parametrize(
    ("method", "dataset", "size", "name"),
    [
        (sre2l, "cifar10", 32, "CIFAR-100's published setting, carried over"),
        (sre2l, "digits", 8, "CIFAR-100's published setting, carried over"),
        (dwa, "digits", 8, "CIFAR-10's published setting, carried over"),
        (dwa, "birds", 64, "TinyImageNet's published setting, carried over, with recover_iterations=1000"),
        (dwa, "birds", 224, "ImageNet-1K's published setting, carried over, with recover_iterations=1000"),
    ],
)
def test_without_a_setting_that_of_images_as_large_is_carried_over(
    method: Any, dataset: str, size: int, name: str
) -> None:
    values, found = method.published_for(context(dataset, size=size))
    assert found == name
    assert values["crop"] == (size >= 64)
    assert values["recover_iterations"] == 1000


def test_trial_0_recovers_for_as_long_as_the_study_says() -> None:
    values, name = dwa.published_for(context(iterations=200))
    assert (values["recover_iterations"], name) == (200, "published setting, with recover_iterations=200")
    values, _ = dwa.published_for(context(iterations=200, fixed={"recover_iterations": 50}))
    assert values["recover_iterations"] == 50


def test_images_that_must_not_be_flipped_are_not_cropped_either() -> None:
    where = context("numbers", size=64, augmentation="color_crop_cutout_scale_rotate")
    assert dwa.published_for(where)[0]["crop"] is False
    assert dwa.published_for(context("numbers", size=64))[0]["crop"] is True
