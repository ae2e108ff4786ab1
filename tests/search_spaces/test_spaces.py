"""What DM and IID search, which published settings they carry, and what trial 0 is called."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import optuna
import pytest

from raydd.registry import Context
from search_spaces import dm, iid

optuna.logging.set_verbosity(optuna.logging.ERROR)


def context(dataset: str = "cifar10", ipc: int = 10, **other: Any) -> Context:
    return Context(dataset, channels=3, size=32, classes=10, ipc=ipc, iterations=100, **other)


def draws(space: Any, where: Context, count: int = 60) -> list[tuple[dict, dict]]:
    """(values, suggested distributions) of `count` random trials."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = []
    for _ in range(count):
        trial = study.ask()
        drawn.append((space(trial, where), trial.distributions))
    return drawn


def test_dm_searches_lr_img_alone_on_a_log_scale() -> None:
    for values, distributions in draws(dm.space, context()):
        assert set(values) == {"lr_img"}
        assert distributions["lr_img"] == optuna.distributions.FloatDistribution(0.05, 10.0, log=True)
    assert dm.space(optuna.trial.FixedTrial({}), context(fixed={"lr_img": 1.0})) == {}


def test_iid_searches_weights_form_and_step_size_and_beta_with_the_hinge_only() -> None:
    forms = set()
    for values, distributions in draws(iid.space, context(measured={"d95": 10.0})):
        forms.add(values["cc_form"])
        hinge = values["cc_form"] == "hinge_exp"
        assert set(values) == {"lr_img", "lambda_cc", "lambda_cm", "cc_form"} | ({"beta"} if hinge else set())
        assert distributions["lambda_cc"] == optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)
        assert distributions["lambda_cm"] == optuna.distributions.FloatDistribution(1e-5, 1.0, log=True)
        assert ("b" in distributions) == hinge
        if hinge:
            assert 1.0 < values["beta"] <= math.exp(0.02 * 10.0)
    assert forms == {"sum", "hinge_exp"}


def test_beta_reaches_the_exponential_of_the_measured_percentile() -> None:
    assert iid.largest_b(context(measured={"d95": 10.0})) == pytest.approx(math.exp(0.2) - 1)
    assert iid.largest_b(context(measured={"d95": 10.0}, fixed={"alpha": 0.1})) == pytest.approx(
        math.exp(1.0) - 1
    )
    assert iid.largest_b(context(measured={"d95": 1000.0})) == pytest.approx(math.exp(10) * 11 - 1)
    assert iid.largest_b(context()) == 0.5
    assert iid.largest_b(context(measured={"d95": 0.0})) > 0


def test_at_ipc_1_lr_img_is_searched_alone() -> None:
    for values, distributions in draws(iid.space, context(ipc=1)):
        assert set(values) == set(distributions) == {"lr_img"}


@pytest.mark.parametrize(
    ("fixed", "searched"),
    [
        ({"lambda_cc": 0.0}, {"lr_img", "lambda_cm"}),
        ({"lambda_cc": 0.1}, {"lr_img", "lambda_cm", "cc_form", "b"}),
        ({"cc_form": "sum"}, {"lr_img", "lambda_cm", "lambda_cc"}),
        ({"cc_form": "hinge_exp"}, {"lr_img", "lambda_cm", "lambda_cc", "b"}),
        ({"cc_form": "hinge_exp", "beta": 1.1}, {"lr_img", "lambda_cm", "lambda_cc"}),
        ({"beta": 1.1}, {"lr_img", "lambda_cm", "lambda_cc", "cc_form"}),
        ({"lr_img": 1.0, "lambda_cm": 0.0, "lambda_cc": 0.0}, set()),
    ],
)
def test_what_is_fixed_or_without_effect_is_not_suggested(fixed: dict, searched: set[str]) -> None:
    seen: set[str] = set()
    for values, distributions in draws(iid.space, context(fixed=fixed)):
        assert not set(values) & set(fixed)
        seen |= set(distributions)
    assert seen == searched


@pytest.mark.parametrize("method", [dm, iid])
@pytest.mark.parametrize("ipc", [1, 10, 50, 100])
@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "digits"])
def test_published_points_replay_through_the_space_unchanged(method: Any, dataset: str, ipc: int) -> None:
    where = context(dataset, ipc)
    for point in method.points(where):
        trial = optuna.trial.FixedTrial(point)
        assert method.space(trial, where) == point
        for name, distribution in trial.distributions.items():
            assert distribution._contains(distribution.to_internal_repr(point[name]))


def test_the_published_settings_are_the_authors() -> None:
    assert dm.points(context(ipc=10)) == [{"lr_img": 1.0}]
    assert dm.points(context(ipc=100)) == [{"lr_img": 10.0}]
    assert dm.points(context("cifar100", 100)) == [{"lr_img": 1.0}]
    assert dm.points(context("digits")) == []
    assert iid.points(context(ipc=10)) == [
        {"lr_img": 1.0, "lambda_cc": 0.05, "lambda_cm": 0.01, "cc_form": "sum"}
    ]
    assert iid.points(context(ipc=50)) == []


def test_trial_0_is_published_or_says_what_it_is_carried_over_from() -> None:
    assert dm.published_for(context(ipc=10)) == ({"lr_img": 1.0}, "published setting")
    assert dm.published_for(context("cifar100", 10))[1] == "published setting"
    assert dm.published_for(context("cifar100", 20)) == (
        {"lr_img": 1.0},
        "CIFAR-100's published setting, carried over",
    )
    assert dm.published_for(context("cifar10", 80))[0] == {"lr_img": 10.0}
    assert dm.published_for(context("digits", 10))[1] == "CIFAR-10's published setting, carried over"
    assert iid.published_for(context("cifar10", 50)) == (
        {"lr_img": 1.0, "lambda_cc": 0.05, "lambda_cm": 0.01, "cc_form": "sum"},
        "CIFAR-10's published setting, carried over",
    )


def test_the_name_of_trial_0_admits_what_was_fixed_otherwise() -> None:
    values, label = iid.published_for(context(fixed={"lambda_cc": 0.2, "lr_img": 1, "net": "convnet-w32"}))
    assert values["lambda_cc"] == 0.2
    assert label == "published setting, with lambda_cc=0.2"


def test_spaces_need_no_torch() -> None:
    code = "import sys, search_spaces.dm, search_spaces.iid; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
