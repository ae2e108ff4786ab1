"""IID against a literal loop over the classes, and the identities with DM bit for bit."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from raydd import nets
from raydd.augment import DSA
from raydd.data import DataSplits
from raydd.devices import Compute
from raydd.distillation import DM, IID, deviation_percentile
from raydd.formation import initial_images
from raydd.nets import Network
from raydd.registry import Context
from raydd.seeding import generator
from trainables.dm import DMHyperparameters
from trainables.iid import IIDHyperparameters

CPU = torch.device("cpu")
BASE = {"net": "convnet-w8", "batch_real": 10, "lr_img": 0.5}


def iid(data: DataSplits, context: Context, pool: list[Network], seed: int = 0, **values: Any) -> IID:
    return IID(IIDHyperparameters(**{**BASE, **values}), context, data, pool, seed, CPU)


def run(distiller: DM, steps: int) -> torch.Tensor:
    for _ in range(steps):
        distiller.step()
    return distiller.distilled().pixels


def dm_images(data: DataSplits, context: Context, steps: int, **values: Any) -> torch.Tensor:
    return run(DM(DMHyperparameters(**{**BASE, **values}), context, data, 0, CPU), steps)


def literal_terms(
    data: DataSplits, context: Context, pool: list[Network], values: dict[str, Any]
) -> tuple[dict[str, float], torch.Tensor]:
    """Terms of iteration 0 and the gradient of the whole, class by class and image by image, in float64."""
    augment = DSA(context.augmentation)
    ipc = context.ipc
    pixels = initial_images(data.train, ipc, data.normalisation, 0).double().requires_grad_()
    net = nets.build("convnet-w8", channels=3, size=8, classes=3, generator=generator(0, "matching_net", 0))
    net = net.double()
    index = int(torch.randint(len(pool), (), generator=generator(0, "pool_net", 0)))
    psi = nets.build("resnet18-w4", channels=3, size=8, classes=3, generator=torch.Generator()).double()
    psi.load_state_dict({name: value.double() for name, value in pool[index].state_dict().items()})
    dm = cc = cm = torch.zeros((), dtype=torch.float64)

    def sigma(x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(0)
        return sum((x[i] - mean) @ (x[i] - mean).T for i in range(len(x))) / len(x)

    for c in range(3):
        draw = augment.draw(generator(0, "augmentation", 0, c))
        pixels_real = data.train.sample(c, 10, generator(0, "real_batch", 0, c))
        real = augment(data.normalisation.apply(pixels_real).double(), draw)
        syn = augment(pixels[c * ipc : (c + 1) * ipc], draw)
        real_map, syn_map = net.local_features(real).detach(), net.local_features(syn)
        dm = dm + ((real_map.flatten(1).mean(0) - syn_map.flatten(1).mean(0)) ** 2).sum()
        cm = cm + ((sigma(real_map) - sigma(syn_map)) ** 2).sum()
        features = psi.embed(syn)
        centre = sum(features[j] for j in range(ipc)) / ipc
        for j in range(ipc):
            d = ((features[j] - centre) ** 2).sum()
            if values["cc_form"] == "sum":
                cc = cc + d
            else:
                cc = cc + torch.clamp(torch.exp(values["alpha"] * d) - values["beta"], min=0)
    total = dm + values["lambda_cc"] * cc + values["lambda_cm"] * cm
    (gradient,) = torch.autograd.grad(total, pixels)
    return {"dm": dm.item(), "cc": cc.item(), "cm": cm.item(), "total": total.item()}, gradient


@pytest.mark.parametrize(
    "values",
    [
        {"cc_form": "sum", "lambda_cc": 0.05, "lambda_cm": 0.01, "alpha": 0.02, "beta": 0.0},
        {"cc_form": "hinge_exp", "lambda_cc": 0.8, "lambda_cm": 0.3, "alpha": 4.0, "beta": 1.5},
    ],
)
def test_terms_and_gradient_are_those_of_the_literal_loop(
    data: DataSplits, context: Context, pool: list[Network], values: dict[str, Any]
) -> None:
    context = dataclasses.replace(context, augmentation="color_flip_crop")
    terms, gradient = literal_terms(data, context, pool, values)
    assert min(terms.values()) > 0
    distiller = iid(data, context, pool, **values)
    assert distiller.step() == pytest.approx(terms, rel=1e-4)
    # after one step the momentum buffer is the gradient
    found = distiller.state_dict()["velocity"]
    assert isinstance(found, torch.Tensor)
    error = (found.flatten(0, 1).double() - gradient).norm() / gradient.norm()
    assert error.item() < 1e-2  # fp32 rounding moves a few ReLU masks; in value it is near 1e-6


@pytest.mark.parametrize("net", ["convnet-w8", "resnet18-w4"])
def test_with_both_weights_zero_the_images_are_dms_bit_for_bit(
    data: DataSplits, context: Context, net: str
) -> None:
    images = run(iid(data, context, [], net=net, lambda_cc=0.0, lambda_cm=0.0), 4)
    assert torch.equal(images, dm_images(data, context, 4, net=net))


def test_at_ipc_1_the_images_are_dms_bit_for_bit(
    data: DataSplits, context: Context, pool: list[Network]
) -> None:
    context = dataclasses.replace(context, ipc=1)
    for form in ("sum", "hinge_exp"):
        distiller = iid(data, context, pool, lambda_cc=1.0, lambda_cm=1.0, cc_form=form)
        assert torch.equal(run(distiller, 4), dm_images(data, context, 4))


def test_each_term_moves_the_images(data: DataSplits, context: Context, pool: list[Network]) -> None:
    without = dm_images(data, context, 2)
    for values in ({"lambda_cc": 0.5, "lambda_cm": 0.0}, {"lambda_cc": 0.0, "lambda_cm": 0.5}):
        assert (run(iid(data, context, pool, **values), 2) - without).abs().max() > 1e-4


def test_what_does_not_act_is_not_computed(
    data: DataSplits, context: Context, pool: list[Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(iid(data, context, pool).step()) == {"dm", "cc", "cm", "total"}
    no_pool: list[Network] = []  # asking it for an extractor would fail
    assert set(iid(data, context, no_pool, lambda_cc=0.0).step()) == {"dm", "cm", "total"}
    assert set(iid(data, context, pool, lambda_cm=0.0).step()) == {"dm", "cc", "total"}
    single = dataclasses.replace(context, ipc=1)
    assert set(iid(data, single, no_pool).step()) == {"dm", "total"}
    monkeypatch.setattr("raydd.distillation.iid_terms.local_covariance", None)
    assert set(iid(data, context, pool, lambda_cm=0.0).step()) == {"dm", "cc", "total"}


def test_the_real_side_has_covariances_whatever_is_searched_and_none_at_ipc_1(
    data: DataSplits, context: Context
) -> None:
    weightless = iid(data, context, [], lambda_cc=0.0, lambda_cm=0.0)
    weighty = iid(data, context, [], lambda_cc=0.0, lambda_cm=1.0, lr_img=9.0)
    targets = [distiller.real_side.at(2) for distiller in (weightless, weighty)]
    assert targets[0].covariances is not None
    assert targets[1].covariances is not None
    assert torch.equal(targets[0].covariances, targets[1].covariances)
    assert torch.equal(targets[0].means, targets[1].means)
    assert iid(data, dataclasses.replace(context, ipc=1), []).real_side.at(0).covariances is None


def test_an_interrupted_run_continues_bit_for_bit(
    data: DataSplits, context: Context, pool: list[Network]
) -> None:
    values = {"cc_form": "hinge_exp", "lambda_cc": 0.5, "lambda_cm": 0.1}
    whole = run(iid(data, context, pool, **values), 5)
    first = iid(data, context, pool, **values)
    run(first, 2)
    second = iid(data, context, pool, **values)
    second.load_state_dict(first.state_dict())
    assert torch.equal(run(second, 3), whole)


def test_looking_at_the_set_between_steps_changes_nothing(
    data: DataSplits, context: Context, pool: list[Network]
) -> None:
    whole = run(iid(data, context, pool), 3)
    looked = iid(data, context, pool)
    for _ in range(3):
        looked.distilled().pixels.zero_()
        looked.step()
    assert torch.equal(looked.distilled().pixels, whole)


def test_every_network_of_the_pool_gets_its_turn_by_seed_and_iteration(
    data: DataSplits, context: Context, pool: list[Network]
) -> None:
    def turns(seed: int) -> list[int]:
        distiller = iid(data, context, pool, seed=seed)
        chosen = []
        for iteration in range(20):
            chosen.append([net is distiller.iid.extractor(iteration) for net in pool].index(True))
        return chosen

    assert turns(0) == turns(0)
    assert turns(0) != turns(1)
    assert 4 < sum(turns(0)) < 16


def test_centralisation_draws_the_images_of_a_class_together(
    data: DataSplits, context: Context, pool: list[Network]
) -> None:
    def spread(images: torch.Tensor) -> float:
        return deviation_percentile(pool, images.unflatten(0, (3, 4)), 50.0, Compute(CPU))

    values = {"lambda_cm": 0.0, "augmentation": ""}
    loose = run(iid(data, context, pool, lambda_cc=0.0, **values), 12)
    tight = run(iid(data, context, pool, lambda_cc=1.0, **values), 12)
    assert spread(tight) < 0.8 * spread(loose)


def test_deviation_percentile_is_that_of_all_images_under_all_extractors(
    data: DataSplits, pool: list[Network]
) -> None:
    images = initial_images(data.train, 4, data.normalisation, 0).unflatten(0, (3, 4))
    deviations = []
    for psi in pool:
        for class_images in images:
            features = psi.embed(class_images).double()
            for j in range(4):
                deviations.append(((features[j] - features.mean(0)) ** 2).sum().item())
    expected = float(np.percentile(deviations, 95))
    assert deviation_percentile(pool, images, 95.0, Compute(CPU)) == pytest.approx(expected, rel=1e-4)
    assert not math.isclose(expected, max(deviations))


def test_the_manifest_names_the_method_and_all_its_numbers(
    data: DataSplits, context: Context, pool: list[Network]
) -> None:
    facts = iid(data, context, pool, lambda_cc=0.2).distilled().manifest
    assert facts["method"] == "iid"
    assert facts["hyperparameters"]["lambda_cc"] == 0.2
    assert set(facts["hyperparameters"]) == set(IIDHyperparameters.model_fields)
