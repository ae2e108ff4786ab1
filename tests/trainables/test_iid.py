"""IID's hyperparameters, its pool and what it measures before the search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydantic
import pytest
import torch

from raydd import nets
from raydd.data import load_data
from raydd.devices import Compute
from raydd.formation import initial_images
from raydd.registry import Context
from raydd.storage import AssetStore
from raydd.training import Recipe
from trainables.idm import IDM
from trainables.iid import IID, IIDHyperparameters

CPU = torch.device("cpu")


def context(**changes: object) -> Context:
    values = {"dataset": "cifar10", "channels": 3, "size": 32, "classes": 10, "ipc": 10, "iterations": 100}
    return Context(**{**values, **changes})  # type: ignore[arg-type]


def test_defaults_are_the_authors_then_what_is_fixed() -> None:
    values = IID.defaults(context()).model_dump()
    published = {"lr_img": 1.0, "momentum": 0.5, "lambda_cc": 0.05, "lambda_cm": 0.01, "cc_form": "sum"}
    assert {name: values[name] for name in published} == published
    assert (values["alpha"], values["base"], values["pool_size"], values["pool_epochs"]) == (0.02, "dm", 2, 2)
    assert IID.defaults(context(fixed={"cc_form": "hinge_exp", "beta": 1.2})).model_dump()["beta"] == 1.2


@pytest.mark.parametrize(
    "values",
    [
        {"lambda_cc": -0.1},
        {"lambda_cm": -1e-9},
        {"lambda_cm": float("nan")},
        {"alpha": 0.0},
        {"beta": -1.0},
        {"cc_form": "exp"},
        {"pool_size": 0},
        {"pool_epochs": 0},
        {"base": "idc"},
        {"factor": 2},
        {"init": "mix"},
        {"update": "per_class"},
        {"base": "idm", "factor": 0},
        {"base": "idm", "net_start": 101},
    ],
)
def test_values_out_of_bounds_are_refused(values: dict) -> None:
    with pytest.raises(pydantic.ValidationError):
        IIDHyperparameters(**values)


def test_the_pool_is_an_asset_that_follows_what_is_fixed() -> None:
    (spec,) = IID.assets(context())
    assert (spec.kind, spec.net, spec.count, spec.seed) == ("pool", "resnet18", 2, 0)
    assert Recipe(**spec.recipe) == Recipe(epochs=2, batch=256, lr=0.01, momentum=0.9, weight_decay=5e-4)
    fixed = {"pool_net": "resnet18-w16", "pool_size": 3, "pool_epochs": 5}
    (other,) = IID.assets(context(fixed=fixed))
    assert (other.net, other.count, other.recipe["epochs"]) == ("resnet18-w16", 3, 5)


def test_without_class_centralisation_there_is_no_pool() -> None:
    assert IID.assets(context(ipc=1)) == []
    assert IID.assets(context(fixed={"lambda_cc": 0.0})) == []
    assert IID.assets(context(fixed={"lambda_cc": 1e-3})) != []


def test_at_ipc_1_the_user_is_told_what_vanishes_and_elsewhere_how_little_is_published() -> None:
    (line,) = IID.notes(context(ipc=1))
    assert "IID equals DM" in line
    (line,) = IID.notes(context(ipc=1, fixed={"base": "idm", "factor": 1}))
    assert "IID equals IDM" in line
    for other in ({"ipc": 2}, {"dataset": "svhn"}):
        assert IID.notes(context(**other)) == [
            "IID has one published setting, CIFAR-10 at IPC 10; trial 0 carries it over."
        ]
    assert IID.notes(context(ipc=1, fixed={"base": "idm"})) == [
        "IID has one published setting, CIFAR-10 at IPC 10; trial 0 carries its terms over."
    ]
    assert IID.notes(context()) == []


def test_on_idm_the_defaults_are_those_of_iid_on_idm_and_of_idms_own_queue() -> None:
    where = context(fixed={"base": "idm"})
    values = IID.defaults(where).model_dump()
    expected = {
        "lr_img": 0.2,
        "lambda_cc": 0.01,
        "lambda_cm": 0.03,
        "ce_weight": 0.5,
        "factor": 2,
        "init": "mix",
    }
    assert {name: values[name] for name in expected} == expected
    assert (values["update"], values["batch_real"]) == ("per_class", 256)
    single = IID.defaults(context(ipc=1, fixed={"base": "idm"}))
    assert (single.batch_real, single.net_generate_interval) == (5000, 5)
    assert (IID.base_of(where), IID.base_of(context())) == ("idm", "dm")
    assert IID.default_name(where) == "published setting"


def test_a_trial_on_idm_is_idms_work_and_the_extractors() -> None:
    where = context(fixed={"base": "idm"})
    values = IID.defaults(where).model_dump()
    own = {name: values[name] for name in IDM.hyperparameters.model_fields}
    extractor = nets.gigaflops("resnet18", channels=3, size=32, classes=10)
    assert IID.gigaflops(where, values) == pytest.approx(IDM.gigaflops(where, own) + 2 * 10 * 40 * extractor)
    assert IID.training_images(where, values) == 400


def test_d95_is_measured_on_the_initial_images_under_the_pool(tmp_path: Path) -> None:
    data = load_data("digits")
    fixed = {"pool_net": "convnet-w4", "pool_epochs": 1}
    small = Context("digits", 1, 8, 10, 3, 100, data.augmentation, fixed=fixed)
    store = AssetStore(tmp_path, data, Compute(CPU))
    measured = IID.measure(small, data, store, 4, CPU)
    assert set(measured) == {"d95"}
    images = initial_images(data.train, 3, data.normalisation, 4).view(10, 3, 1, 8, 8)
    deviations = []
    for psi in store.get(IID.assets(small)[0]):
        for class_images in images:
            features = psi.embed(class_images).double()
            deviations += ((features - features.mean(0)) ** 2).sum(1).tolist()
    assert len(deviations) == 60
    assert measured["d95"] == pytest.approx(float(np.percentile(deviations, 95)), rel=1e-4)
    single = Context("digits", 1, 8, 10, 1, 100, fixed=fixed)
    assert IID.measure(single, data, store, 4, CPU) == {}


@pytest.mark.parametrize("fixed", [{"cc_form": "sum"}, {"beta": 1.2}, {"lambda_cc": 0.0}])
def test_where_no_trial_draws_beta_nothing_is_measured_and_no_pool_trained(
    fixed: dict, tmp_path: Path
) -> None:
    data = load_data("digits")
    where = Context("digits", 1, 8, 10, 3, 100, data.augmentation, fixed=fixed)
    assert IID.measure(where, data, AssetStore(tmp_path, data, Compute(CPU)), 4, CPU) == {}
    assert list(tmp_path.iterdir()) == []
