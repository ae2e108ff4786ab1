"""What the methods search, which published settings they carry, and what trial 0 is called."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import optuna
import pytest

from raydd.distillation.windows import windows
from raydd.errors import ArtifactError
from raydd.formation import cells_spec, check_decode
from raydd.registry import Context
from search_spaces import cells, dm, dwa, idc, idm, iid, sre2l, udd
from trainables.idc import IDC, IDCHyperparameters
from trainables.idm import IDM

optuna.logging.set_verbosity(optuna.logging.ERROR)


def context(dataset: str = "cifar10", ipc: int = 10, **other: Any) -> Context:
    return Context(
        dataset, **{"channels": 3, "size": 32, "classes": 10, "ipc": ipc, "iterations": 100, **other}
    )


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


@pytest.mark.parametrize("method", [dm, dwa, idc, idm, iid, sre2l, udd])
@pytest.mark.parametrize("ipc", [1, 10, 50, 100])
@pytest.mark.parametrize(
    "dataset",
    [
        *("cifar10", "cifar100", "svhn", "mnist", "fashionmnist", "digits"),
        *("tinyimagenet", "imagenet10", "imagenet100", "imagenet"),
    ],
)
def test_published_points_replay_through_the_space_unchanged(method: Any, dataset: str, ipc: int) -> None:
    where = context(dataset, ipc)
    for point in method.points(where):
        trial = optuna.trial.FixedTrial(point)
        assert method.space(trial, where) == point
        for name, distribution in trial.distributions.items():
            assert distribution._contains(distribution.to_internal_repr(point[name]))


def on_idm(**other: Any) -> Context:
    return context(**{**other, "fixed": {"base": "idm", **other.get("fixed", {})}})


def test_idm_searches_step_size_entropy_weight_and_parts() -> None:
    factors = set()
    for values, distributions in draws(idm.space, context()):
        factors.add(values["factor"])
        assert set(values) == {"lr_img", "ce_weight", "factor"}
        assert distributions["ce_weight"] == optuna.distributions.FloatDistribution(0.05, 3.0, log=True)
    assert factors == {1, 2, 3}
    fixed = {"lr_img": 1.0, "ce_weight": 0.0, "factor": 2}
    assert idm.space(optuna.trial.FixedTrial({}), context(fixed=fixed)) == {}


def test_iid_on_idm_searches_both_and_at_ipc_1_its_terms_with_several_parts_only() -> None:
    own, terms = {"lr_img", "ce_weight", "factor"}, {"lambda_cc", "lambda_cm", "cc_form"}
    for values, _ in draws(iid.space, on_idm()):
        assert set(values) - {"beta"} == own | terms
    for values, _ in draws(iid.space, on_idm(ipc=1)):
        assert set(values) - {"beta"} == (own if values["factor"] == 1 else own | terms)
    for values, _ in draws(iid.space, on_idm(ipc=1, fixed={"factor": 1})):
        assert set(values) == {"lr_img", "ce_weight"}
    (point,) = iid.points(on_idm())
    assert iid.space(optuna.trial.FixedTrial(point), on_idm()) == point
    values, name = iid.published_for(on_idm(ipc=1))
    assert (values["lambda_cm"], values["batch_real"], values["net_generate_interval"]) == (0.03, 5000, 5)
    assert name == (
        "IID's terms (CIFAR-10's published setting, carried over) on IDM's setting (published setting)"
    )


@pytest.mark.parametrize(
    ("dataset", "ipc", "own"),
    [
        ("cifar10", 10, {"ce_weight": 0.5}),
        ("cifar10", 50, {"ce_weight": 0.1}),
        ("cifar100", 10, {"ce_weight": 0.1, "model_train_steps": 50}),
        ("svhn", 100, {"ce_weight": 0.1}),
    ],
)
def test_trial_0_of_iid_on_idm_differs_from_idms_by_its_terms_only(dataset: str, ipc: int, own: dict) -> None:
    base, _ = idm.published_for(context(dataset, ipc))
    values, _ = iid.published_for(on_idm(dataset=dataset, ipc=ipc))
    assert base == {"lr_img": 0.2, "factor": 2, **own}
    assert values == {**base, "lambda_cc": 0.01, "lambda_cm": 0.03, "cc_form": "sum"}


def test_the_name_of_trial_0_of_iid_on_idm_says_which_part_was_fixed_otherwise() -> None:
    _, name = iid.published_for(on_idm(ipc=50, fixed={"ce_weight": 0.2, "lambda_cc": 0.3}))
    assert name == (
        "IID's terms (CIFAR-10's published setting, carried over, with lambda_cc=0.3) on IDM's setting "
        "(published setting, with ce_weight=0.2)"
    )
    assert iid.published_for(on_idm(fixed={"ce_weight": 0.2}))[1] == "published setting, with ce_weight=0.2"


@pytest.mark.parametrize(
    ("fixed", "searched"),
    [
        ({}, True),
        ({"cc_form": "hinge_exp"}, True),
        ({"cc_form": "sum"}, False),
        ({"beta": 1.1}, False),
        ({"lambda_cc": 0.0}, False),
    ],
)
def test_beta_is_searched_unless_what_is_fixed_leaves_it_out(fixed: dict, searched: bool) -> None:
    where = context(fixed=fixed)
    assert iid.beta_is_searched(where) == searched
    assert any("b" in distributions for _, distributions in draws(iid.space, where)) == searched
    assert not iid.beta_is_searched(context(ipc=1, fixed=fixed))


def fits(factor: int, size: int) -> bool:
    """Whether decoding would go well."""
    try:
        check_decode(cells_spec(factor), size)
    except ArtifactError:
        return False
    return True


def test_the_factors_that_fit_are_those_that_decoding_takes() -> None:
    for size in range(1, 70):
        for factor in range(1, cells.MOST + 1):
            assert cells.fits(factor, size) == fits(factor, size)
            all_of_them = all(fits(each, size) for each in range(1, factor + 1))
            assert cells.fits(factor, size, "multi") == cells.fits(factor, size, "bound") == all_of_them
    assert [cells.offered(size) for size in (1, 3, 4, 8)] == [[1], [1, 2, 3], [1, 2], [1, 2, 3]]


@pytest.mark.parametrize("method", [idc, idm, udd])
def test_factors_that_leave_cells_without_pixels_are_not_drawn(method: Any) -> None:
    for size, expected in ((4, {1, 2}), (5, {1, 2, 3})):
        assert {values["factor"] for values, _ in draws(method.space, context(size=size))} == expected
    # eight cells a side of 8 px fit, but `multi` would cut by five as well
    assert all("decode" not in v for v, _ in draws(idc.space, context(size=8, fixed={"factor": 8}), 9))


def torch_count(side: int, grid_size: int, scales: Any) -> int:
    return len(windows(side, grid_size, tuple(scales) if isinstance(scales, list) else scales))


def test_windows_are_counted_as_torch_counts_them() -> None:
    scales = [*udd.SCALES, 0.05, 0.9, 1.0, (0.5, 0.34), [0.5, 0.51, 1.0], (1 / 3, 0.6, 0.95)]
    for side in (*range(1, 20), 28, 32, 64):
        for grid_size in (1, 2, 3, 4, 6, 7, 16):
            for scale in scales:
                expected = torch_count(side, grid_size, scale)
                assert udd.window_count(side, grid_size, scale) == expected, (side, grid_size, scale)


@pytest.mark.parametrize(
    "fixed",
    [
        {},
        {"grid_size": 1},
        {"region_scale": 1.0},
        {"region_scale": [0.5, 0.34]},
        {"regions": 4},
        {"regions": 9, "factor": 2},
        {"regions": 4, "region_source": "image"},
    ],
)
def test_no_draw_asks_for_more_regions_than_there_are_windows(fixed: dict) -> None:
    defaults = {"region_source": "sub_image"}
    for size in (4, 5, 6, 8, 28, 32):
        if size == 4 and fixed.get("regions") == 9:
            continue  # sub-images of 2 px have four windows at most
        for values, _ in draws(udd.space, context(size=size, fixed=fixed), 30):
            chosen = {**defaults, **fixed, **values}
            side = udd.source_side(size, chosen["factor"], chosen["region_source"])
            count = torch_count(side, chosen["grid_size"], chosen["region_scale"])
            assert 1 <= chosen["regions"] <= count, (size, chosen)


def test_at_usual_sizes_the_windows_bound_nothing() -> None:
    seen: dict[str, Any] = {}
    for _, distributions in draws(udd.space, context(), 20):
        seen.update(distributions)
    assert seen["regions"] == optuna.distributions.IntDistribution(1, 3)
    assert seen["grid_size"] == optuna.distributions.IntDistribution(2, 6)
    assert seen["region_scale"] == optuna.distributions.FloatDistribution(1 / 3, 5 / 6)


def test_idc_decodes_several_ways_only_where_an_image_holds_several() -> None:
    seen = set()
    for values, distributions in draws(idc.space, context()):
        assert ("decode" in values) == (values["factor"] > 1)
        assert distributions["lr_img"] == optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True)
        seen.add((values["metric"], values["factor"], values.get("decode")))
    assert {metric for metric, _, _ in seen} == {"mse", "l1", "l1_mean", "cos"}
    assert {decode for _, _, decode in seen} == {None, "single", "multi"}


def test_idc_carries_the_authors_settings_for_each_dataset() -> None:
    assert idc.points(context()) == [{"lr_img": 5e-3, "metric": "mse", "factor": 2, "decode": "single"}]
    assert idc.published_for(context())[0]["n_data"] == 2000
    assert idc.published_for(context("svhn"))[0]["n_data"] == 500
    mnist, _ = idc.published_for(context("mnist"))
    assert (mnist["metric"], mnist["lr_img"], mnist["cutmix"], mnist["eval_cutmix"]) == ("l1", 1e-4, 0.0, 0.0)
    whole, _ = idc.published_for(context("mnist", fixed={"factor": 1}))
    assert "cutmix" not in whole
    assert (whole["factor"], whole["n_data"]) == (1, 500)
    svhn, _ = idc.published_for(context("svhn", 1, fixed={"factor": 1}))
    assert svhn["eval_augmentation"] == "idc:color_crop_cutout_scale_rotate"
    assert "eval_cutmix" not in idc.published_for(context("svhn", 10, fixed={"factor": 1}))[0]


def test_udd_draws_what_a_policy_has_and_never_a_control() -> None:
    policies = set()
    always = {
        "lr_img",
        "metric",
        "factor",
        "grid_size",
        "region_scale",
        "regions",
        "policy",
        "research_every",
    }
    always |= {"lambda_cfc", "cfc_tau"}
    for values, distributions in draws(udd.space, context()):
        policies.add(values["policy"])
        own = {"scheme"} if values["policy"] == "response" else {"jitter_std", "jitter_draws"}
        source = {"region_source"} if values["factor"] > 1 else set()
        assert set(values) == always | own | source
        assert 2 <= values["grid_size"] <= 6
        assert 1 / 3 <= values["region_scale"] <= 5 / 6
        assert distributions["lambda_cfc"] == optuna.distributions.FloatDistribution(1e-3, 1e2, log=True)
    assert policies == {"response", "jitter"}
    assert "cfc_tau" not in draws(udd.space, context(fixed={"lambda_cfc": 0.0}))[0][0]


def test_udd_has_no_published_setting_and_says_whose_it_takes() -> None:
    assert udd.points(context()) == []
    values, name = udd.published_for(context())
    assert values["metric"] == "mse"
    assert name == "UDD's defaults on IDC's setting (published setting)"


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


def test_idm_on_tiny_imagenet_is_its_authors_with_three_blocks() -> None:
    values, name = idm.published_for(context("tinyimagenet", 50))
    assert name == "published setting"
    assert values == {
        "lr_img": 0.2,
        "ce_weight": 0.8,
        "factor": 2,
        "net": "convnet-d3",
        "model_train_steps": 50,
    }
    assert idm.published_for(context("tinyimagenet", 1))[0]["ce_weight"] == 0.5


def test_idm_and_idc_on_imagenet_are_their_authors() -> None:
    large = {"size": 224, "classes": 100}
    for ipc in (1, 10):
        assert idm.published_for(context("imagenet100", ipc, **large)) == (
            {
                "lr_img": 0.2,
                "ce_weight": 3.0,
                "factor": 2,
                "net": "convnet-d6",
                "batch_real": 128,
                "batch_train": 128,
                "net_generate_interval": 50,
                "net_num": 50,
            },
            "published setting",
        )
    shared = {
        "metric": "l1",
        "factor": 3,
        "decode": "single",
        "n_data": 500,
        "net": "resnet10-ap",
        "cutmix": 1.0,
    }
    values, name = idc.published_for(context("imagenet10", 10, size=224))
    assert (values, name) == ({**shared, "lr_img": 3e-3, "early": 10}, "published setting")
    values, _ = idc.published_for(context("imagenet100", 10, **large))
    own = {"batch_real": 128, "batch_train": 128, "lr_net": 0.1, "weight_decay_net": 1e-4}
    assert values == {**shared, "lr_img": 1e-3, "early": 5, **own}
    name = idc.published_for(context("imagenet10", 20, size=224))[1]
    assert name == "ImageNet-10's published setting, carried over"  # the authors bound the views from 20 on


@pytest.mark.parametrize(
    ("method", "dataset"), [(IDM, "imagenet100"), (IDC, "imagenet10"), (IDC, "imagenet100")]
)
def test_the_settings_for_imagenet_are_hyperparameters_that_fit_its_images(method: Any, dataset: str) -> None:
    where = context(dataset, 10, size=224, classes=10)
    chosen = method.defaults(where)
    method.check(where, chosen.model_dump())
    assert method.gigaflops(where, chosen.model_dump()) > 0.0
    if isinstance(chosen, IDCHyperparameters):  # the base of lr_img's scaling is 224 px there
        assert chosen.step_size(where) == pytest.approx(chosen.lr_img)


def test_at_another_ipc_iid_on_dm_takes_the_step_size_that_dm_has_there() -> None:
    values, name = iid.published_for(context("cifar10", 100))
    assert values == {"lr_img": 10.0, "lambda_cc": 0.05, "lambda_cm": 0.01, "cc_form": "sum"}
    assert name == (
        "IID's terms (CIFAR-10's published setting, carried over) on DM's setting (published setting)"
    )
    assert iid.published_for(context("cifar100", 10))[0]["lr_img"] == 1.0


def test_the_name_of_trial_0_admits_what_was_fixed_otherwise() -> None:
    values, label = iid.published_for(context(fixed={"lambda_cc": 0.2, "lr_img": 1, "net": "convnet-w32"}))
    assert values["lambda_cc"] == 0.2
    assert label == "published setting, with lambda_cc=0.2"


NAMES = ("cells", "dm", "dwa", "idc", "idm", "iid", "sre2l", "udd")


def test_spaces_need_no_torch() -> None:
    modules = ", ".join(f"search_spaces.{name}" for name in NAMES)
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
