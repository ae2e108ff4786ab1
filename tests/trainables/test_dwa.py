"""Hyperparameters, teacher, labels and cadence of SRe2L and of DWA, which stands on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pydantic
import pytest
import torch

from raydd import jobs, nets
from raydd.data import load_data
from raydd.devices import Compute
from raydd.distillation import baselines
from raydd.errors import ConfigError, SpaceError
from raydd.evaluation import evaluate
from raydd.registry import Context, Method
from raydd.storage import AssetStore
from raydd.training import Recipe
from trainables.dwa import DWA, DWAHyperparameters
from trainables.sre2l import SRE2L, SRe2LHyperparameters, augmentation

CPU = torch.device("cpu")
BOTH = [pytest.param(SRE2L, id="sre2l"), pytest.param(DWA, id="dwa")]
SMALL = {
    "teacher": "convnet-d1-w4-bn",
    "teacher_epochs": 2,
    "teacher_lr": 0.05,
    "recover_iterations": 2,
}
FLIPPING = "color_crop_cutout_flip_scale_rotate"


def context(**changes: Any) -> Context:
    values = {"dataset": "cifar10", "channels": 3, "size": 32, "classes": 10, "ipc": 10, "iterations": 1000}
    return Context(**{"augmentation": FLIPPING, **values, **changes})


def test_defaults_are_the_papers_then_what_is_fixed() -> None:
    ours = SRE2L.defaults(context(dataset="cifar100", classes=100))
    assert (ours.lr, ours.lambda_mean, ours.coupled, ours.init, ours.batch) == (
        0.25,
        0.01,
        True,
        "noise",
        100,
    )
    assert (ours.recover_iterations, ours.temperature, ours.first, ours.crop) == (1000, 30.0, 10.0, False)
    assert (ours.teacher, ours.teacher_epochs, ours.teacher_lr, ours.teacher_batch) == (
        "resnet18-bn",
        200,
        0.1,
        128,
    )
    assert ours.variance_weight == 0.01
    theirs = DWA.defaults(context())
    assert (theirs.rho, theirs.k, theirs.lambda_mean, theirs.lambda_var) == (0.015, 12, 0.01, 0.11)
    assert (theirs.coupled, theirs.init, theirs.labels, theirs.teacher_mode) == (
        False,
        "real",
        "online",
        "eval",
    )
    assert theirs.variance_weight == 0.11
    assert DWA.defaults(context(fixed={"lr": 0.1})).lr == 0.1
    assert DWAHyperparameters(coupled=True).variance_weight == 0.01


@pytest.mark.parametrize(
    ("dataset", "size", "expected"),
    [
        (
            "tinyimagenet",
            64,
            {
                "lr": 0.1,
                "k": 12,
                "lambda_var": 0.11,
                "batch": 200,
                "crop": True,
                "temperature": 20.0,
                "teacher_epochs": 100,
            },
        ),
        (
            "imagenet",
            224,
            {"lr": 0.25, "k": 15, "lambda_var": 0.02, "batch": 100, "crop": True, "temperature": 20.0},
        ),
        ("photos", 64, {"lr": 0.1, "batch": 200}),
        ("photos", 32, {"lr": 0.25, "batch": 100, "temperature": 30.0}),
    ],
)
def test_larger_images_take_the_settings_of_larger_images(dataset: str, size: int, expected: dict) -> None:
    values = DWA.defaults(context(dataset=dataset, size=size, ipc=50)).model_dump()
    assert {name: values[name] for name in expected} == expected


def test_trial_0_is_named_honestly() -> None:
    assert DWA.default_name(context()) == "published setting"
    assert SRE2L.default_name(context(dataset="cifar100")) == "published setting"
    assert SRE2L.default_name(context()) == "CIFAR-100's published setting, carried over"
    assert DWA.default_name(context(dataset="digits")) == "CIFAR-10's published setting, carried over"
    assert SRE2L.default_name(context(dataset="photos", size=64, ipc=50)) == (
        "TinyImageNet's published setting, carried over, with recover_iterations=1000"
    )
    assert DWA.default_name(context(iterations=200)) == "published setting, with recover_iterations=200"
    assert DWA.default_name(context(fixed={"init": "noise"})) == "published setting, with init=noise"


@pytest.mark.parametrize(
    "values",
    [
        {"lr": 0.0},
        {"lambda_mean": -0.1},
        {"lambda_var": float("nan")},
        {"first": -1.0},
        {"jitter": -1},
        {"batch": 0},
        {"ids_at_once": 0},
        {"recover_iterations": 0},
        {"teacher_epochs": 0},
        {"labels": "soft"},
        {"temperature": 0.0},
        {"temperature": 0.009},
        {"temperature": 10_001.0},
        {"teacher_mode": "test"},
        {"init": "mix"},
        {"mixup": -0.5},
        {"rho": -1e-3},
        {"rho": 1.001},
        {"k": 0},
    ],
)
def test_values_out_of_bounds_are_refused(values: dict) -> None:
    with pytest.raises(pydantic.ValidationError):
        DWAHyperparameters(**values)


def test_a_teacher_needs_batch_norm() -> None:
    for spec in ("resnet18", "convnet", "vit_small"):
        with pytest.raises(ConfigError, match=f"teacher: '{spec}' has no batch norm.*such as resnet18-bn"):
            SRe2LHyperparameters(teacher=spec)
    assert SRe2LHyperparameters(teacher="convnet-bn").teacher == "convnet-bn"
    with pytest.raises(ConfigError, match="did you mean 'resnet18'"):
        SRe2LHyperparameters(teacher="resnet8-bn")
    with pytest.raises(
        ConfigError, match=r"^teacher: unknown net 'foo' .*; it needs batch norm, as resnet18-bn and"
    ):
        SRe2LHyperparameters(teacher="foo")
    with pytest.raises(ConfigError, match=r"^teacher: bad option 'b' in 'convnet-b'.*convnet-bn"):
        SRe2LHyperparameters(teacher="convnet-b")


@pytest.mark.parametrize(
    ("method", "values", "message"),
    [
        (
            DWA,
            {"ids_at_once": 2},
            "ids_at_once: several ids would need as many teachers.*allowed is 1, got 2",
        ),
        (SRE2L, {"teacher_mode": "train", "labels": "stored"}, "teacher_mode: 'train'.*allowed.*eval"),
        (DWA, {"teacher_mode": "train", "labels": "image"}, "teacher_mode: 'train'.*labels are 'image'"),
        (SRE2L, {"jitter": 32}, "jitter: 32 pixels.*allowed are 0 to 31"),
    ],
)
def test_values_that_do_not_go_together_are_refused(method: Method, values: dict, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        jobs.resolve(method, context(), values)


@pytest.mark.parametrize("method", BOTH)
def test_a_mixup_that_the_protocol_would_ignore_is_refused(method: Method) -> None:
    for size, protocol in ((64, "sre2l-tiny"), (224, f"{method.name}-imagenet")):
        message = f"mixup: 0.4 would be ignored, .* images of {size} px, {protocol}, .*allowed under 64 px"
        with pytest.raises(SpaceError, match=message):
            jobs.resolve(method, context(size=size, ipc=50), {"mixup": 0.4})
        jobs.resolve(method, context(size=size, ipc=50), {})
    assert jobs.resolve(method, context(), {"mixup": 0.4}).mixup == 0.4


def test_the_finished_ids_are_those_of_every_round() -> None:
    values = SRE2L.defaults(context()).model_dump()
    assert DWA.finished_ids(context(ipc=3), DWA.defaults(context()).model_dump()) == [1, 2, 3]
    assert SRE2L.finished_ids(context(), {**values, "ids_at_once": 4}) == [4, 8, 10]
    assert SRE2L.finished_ids(context(), {**values, "ids_at_once": 50}) == [10]


@pytest.mark.parametrize("method", BOTH)
def test_the_recipe_is_that_of_the_sets_and_needs_no_teacher(method: Method, tmp_path: Path) -> None:
    data = load_data("digits")
    fixed = {**SMALL, "labels": "stored", "temperature": 12.0, "mixup": 0.3}
    where = Context("digits", 1, 8, 10, 1, 2, data.augmentation, fixed=fixed)
    store, values = AssetStore(tmp_path, data, Compute(CPU)), method.defaults(where)
    recipe = method.recipe(values, where, data, store, CPU)
    assert list(tmp_path.iterdir()) == []
    assert recipe == method.distiller(values, where, data, store, 0, CPU).distilled().recipe
    assert (recipe["temperature"], recipe["mixup"]) == (12.0, 0.3)


def test_weights_may_be_moved_by_one_at_the_most() -> None:
    assert DWAHyperparameters(rho=1.0).rho == 1.0


def test_what_goes_together_is_taken() -> None:
    for values in ({"teacher_mode": "train"}, {"jitter": 31}, {"labels": "stored"}, {"labels": "hard"}):
        jobs.resolve(DWA, context(), values)
    jobs.resolve(SRE2L, context(), {"ids_at_once": 50})


def test_the_roll_follows_the_size() -> None:
    assert [SRe2LHyperparameters().jitter_reach(size) for size in (8, 28, 32, 64, 128, 224)] == [
        1,
        4,
        4,
        4,
        32,
        32,
    ]
    assert SRe2LHyperparameters(jitter=7).jitter_reach(224) == 7


def test_the_squeeze_is_the_authors() -> None:
    (spec,) = DWA.assets(context())
    assert (spec.kind, spec.net, spec.count, spec.weights) == ("teacher", "resnet18-bn", 1, "")
    assert Recipe(**spec.recipe) == Recipe(
        epochs=200,
        batch=128,
        lr=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="cosine",
        augmentation="standard:crop_flip",
    )
    assert DWA.assets(context()) == SRE2L.assets(context())
    digits = context(augmentation="color_crop_cutout_scale_rotate", fixed={"teacher": "convnet-bn"})
    (spec,) = SRE2L.assets(digits)
    assert (spec.net, spec.recipe["augmentation"]) == ("convnet-bn", "standard:crop")
    (spec,) = SRE2L.assets(context(fixed={"teacher_weights": "public"}))
    assert spec.weights == "public"


def test_the_evaluation_recipe_follows_the_size_and_what_is_said_about_labels() -> None:
    own = DWA.evaluation(DWAHyperparameters(), context())
    assert own == {
        "protocol": "sre2l-cifar",
        "net": "resnet18-bn",
        "epochs": None,
        "augmentation": "standard:crop_flip",
        "temperature": 30.0,
        "teacher_mode": "eval",
    }
    hard = DWA.evaluation(DWAHyperparameters(labels="hard", mixup=0.0), context())
    assert "temperature" not in hard
    assert hard["mixup"] == 0.0
    names = [
        (
            method.evaluation(DWAHyperparameters(), context(size=size))["protocol"],
            augmentation(context(), kind),
        )
        for method, size, kind in ((SRE2L, 64, "tiny"), (SRE2L, 224, "imagenet"), (DWA, 224, "imagenet"))
    ]
    assert names == [
        ("sre2l-tiny", "standard:rrc_flip"),
        ("sre2l-imagenet", "standard:rrc_flip"),
        ("dwa-imagenet", "standard:rrc_flip"),
    ]


def test_iterations_are_those_of_all_batches_and_the_work_of_one_is_its_images() -> None:
    values = DWA.defaults(context()).model_dump()
    assert DWA.total_iterations(context(), values) == 1000 * 10
    assert (
        SRE2L.total_iterations(context(), {**SRE2L.defaults(context()).model_dump(), "ids_at_once": 4})
        == 3000
    )
    several = {**values, "batch": 4, "recover_iterations": 50}
    assert DWA.total_iterations(context(), several) == 50 * 10 * 3
    once = nets.gigaflops("resnet18-bn", channels=3, size=32, classes=10)
    plain = SRE2L.gigaflops(context(), SRE2L.defaults(context()).model_dump())
    assert plain == pytest.approx(2 * 10 * once)
    assert DWA.gigaflops(context(), values) == pytest.approx(plain + 3 * 12 / 1000 * 10 * once)
    assert DWA.gigaflops(context(), {**values, "rho": 0.0}) == pytest.approx(plain)
    assert DWA.training_images(context(), values) == 100


def test_the_user_is_told_of_runs_that_cannot_be_stopped() -> None:
    assert DWA.notes(context()) == []
    (line,) = DWA.notes(context(ipc=1))
    assert "no trial is stopped early" in line
    (line,) = SRE2L.notes(context(fixed={"ids_at_once": 10}))
    assert line.startswith("All 10 images of a class are recovered at once")


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("labels", ["online", "stored", "image", "hard"])
def test_a_set_and_real_images_get_the_same_kind_of_labels_and_can_be_evaluated(
    method: Method, labels: str, tmp_path: Path
) -> None:
    data = load_data("digits")
    where = Context("digits", 1, 8, 10, 1, 2, data.augmentation, fixed={**SMALL, "labels": labels})
    store, values = AssetStore(tmp_path, data, Compute(CPU)), method.defaults(where)
    distiller = method.distiller(values, where, data, store, 0, CPU)
    while distiller.progress < 1:
        distiller.step()
    short = {"epochs": 2}
    made = method.labelled(distiller.distilled().with_recipe(**short), values, where, data, store, CPU)
    real = baselines.random_real(data, where, made.recipe, 0)
    real = method.labelled(real, values, where, data, store, CPU)
    assert made.label_kind == real.label_kind == labels
    assert made.recipe == real.recipe
    assert (made.teacher is None) == (labels == "hard")
    for each in (made, real):
        result = evaluate(each, data, net="convnet-w4", repeats=1, split="val", device="cpu")
        assert result.label_regime == ("hard" if labels == "hard" else "soft")
        assert 0.0 <= result.mean <= 1.0
    if labels == "stored":
        assert tuple(made.replay.shape) == (2, 10, 10)


def test_temperature_and_labels_change_no_pixel(tmp_path: Path) -> None:
    data = load_data("digits")
    found = []
    for more in ({}, {"temperature": 12.0}, {"labels": "image"}, {"mixup": 0.0}):
        where = Context("digits", 1, 8, 10, 1, 2, data.augmentation, fixed={**SMALL, **more})
        store = AssetStore(tmp_path, data, Compute(CPU))
        distiller = DWA.distiller(DWA.defaults(where), where, data, store, 0, CPU)
        distiller.step()
        distiller.step()
        found.append(distiller.distilled())
    assert all(torch.equal(found[0].pixels, other.pixels) for other in found)
    assert [each.recipe.get("temperature") for each in found] == [30.0, 12.0, 30.0, 30.0]
    assert [path.name.split("-")[0] for path in tmp_path.iterdir() if path.is_dir()] == ["teacher"]


def test_describing_the_methods_loads_no_heavy_library() -> None:
    code = """
import sys
from raydd.registry import Context
from trainables.dwa import DWA
from trainables.sre2l import SRE2L
for method in (SRE2L, DWA):
    context = Context("cifar10", 3, 32, 10, 10, 100)
    values = method.defaults(context).model_dump()
    method.hyperparameters.model_validate(values)
    method.points(context), method.assets(context), method.notes(context), method.default_name(context)
    method.total_iterations(context, values), method.check(context, values)
loaded = {"torch", "ray", "mlflow", "optuna"} & set(sys.modules)
sys.exit(f"loaded: {loaded}" if loaded else 0)
"""
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
