"""IDC against a literal loop in the authors' order, in float64."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from raydd import augment, nets
from raydd.augment import cutmix
from raydd.data import DataSplits
from raydd.distillation import IDC
from raydd.formation import decode, initial_images
from raydd.registry import Context
from raydd.seeding import generator
from trainables.idc import IDC as METHOD
from trainables.idc import IDCHyperparameters

CPU = torch.device("cpu")
BASE: dict[str, Any] = {
    "net": "convnet-w8",
    "batch_real": 10,
    "lr_img": 0.5,
    "lr_scaling": False,
    "inner_loop": 3,
    "n_data": 20,
    "batch_train": 8,
}


def idc(data: DataSplits, context: Context, **values: Any) -> IDC:
    return IDC(IDCHyperparameters(**{**BASE, **values}), context, data, 0, CPU)


def run(distiller: IDC, steps: int) -> torch.Tensor:
    for _ in range(steps):
        distiller.step()
    return distiller.pixels.flatten(0, 1).clone()


def distance(real: list[torch.Tensor], syn: list[torch.Tensor], metric: str) -> torch.Tensor:
    """Summed over convolutions, row by row of outputs."""
    total = torch.zeros((), dtype=torch.float64)
    for g, s in zip(real, syn):
        for x, y in zip(g.flatten(1), s.flatten(1)):
            if metric == "mse":
                total = total + ((x - y) ** 2).sum()
            elif metric == "l1":
                total = total + (x - y).abs().sum()
            elif metric == "l1_mean":
                total = total + (x - y).abs().mean()
            else:
                total = total + 1 - (x * y).sum() / (x.norm() * y.norm() + 1e-6)
    return total


def literal(
    data: DataSplits, context: Context, iterations: int, metric: str, lr: float
) -> tuple[torch.Tensor, list[float]]:
    """Images and losses of the authors' loop; draws as raydd addresses them."""
    ipc, side = context.ipc, context.size
    pixels = initial_images(data.train, ipc, None, 0, "mix", factor=2).double().requires_grad_()
    optimiser = torch.optim.SGD([pixels], lr=lr, momentum=0.5)
    matching, training = augment.build("idc:color_crop_cutout"), augment.build("idc:color_crop")
    labels_all, losses = torch.as_tensor(data.train.labels), []
    for iteration in range(iterations):
        if iteration % 3 == 0:
            net = nets.build(
                "convnet-w8",
                channels=3,
                size=side,
                classes=3,
                generator=generator(0, "matching_net", iteration // 3),
            ).double()
            sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
            pixels.data.clamp_(0, 1)
        weights = [parameter for parameter in net.parameters() if parameter.ndim == 4]
        losses.append(0.0)
        for c in range(3):
            real = data.train.sample(c, 10, generator(0, "real_batch", iteration, c)).double() / 255
            stored, half = pixels[c * ipc : (c + 1) * ipc], side // 2
            cells = [stored[:, :, y : y + half, x : x + half] for y in (0, half) for x in (0, half)]
            syn = torch.cat([F.interpolate(x, size=(side, side), mode="bilinear") for x in cells])
            both = data.normalisation.apply(torch.cat([real, syn]))
            both = matching(both, matching.draw(generator(0, "augmentation", iteration, c)))
            real, syn = both[: len(real)], both[len(real) :]
            loss_real = F.cross_entropy(net(real), torch.full((len(real),), c))
            real_gradient = [g.detach() for g in torch.autograd.grad(loss_real, weights)]
            loss_syn = F.cross_entropy(net(syn), torch.full((len(syn),), c))
            gradient = list(torch.autograd.grad(loss_syn, weights, create_graph=True))
            loss = distance(real_gradient, gradient, metric)
            losses[-1] += loss.item()
            optimiser.zero_grad(set_to_none=False)
            loss.backward()
            optimiser.step()
        order = torch.randperm(len(data.train), generator=generator(0, "net/order", iteration))
        for index, rows in enumerate(order[:24].split(8)):  # 20 images, rounded up to whole batches
            images = data.normalisation.apply(data.train.take(rows).double() / 255)
            draw = training.draw(generator(0, "net/augment", iteration, index), 8)
            mixed, targets = cutmix(
                training(images, draw), labels_all[rows], 3, 0.5, generator(0, "net/cutmix", iteration, index)
            )
            sgd.zero_grad()
            F.cross_entropy(net(mixed), targets.double()).backward()
            sgd.step()
    return pixels.detach(), losses


@pytest.mark.parametrize(("metric", "lr"), [("mse", 0.5), ("l1", 0.01), ("l1_mean", 0.5), ("cos", 0.05)])
def test_images_and_losses_are_those_of_the_authors_loop(
    data: DataSplits, context: Context, metric: str, lr: float
) -> None:
    expected, losses = literal(data, context, 5, metric, lr)
    distiller = idc(data, context, metric=metric, lr_img=lr)
    start = distiller.pixels.flatten(0, 1).clone()
    for loss in losses:
        assert distiller.step()["gradient"] == pytest.approx(loss, rel=2e-3)
    moved = (expected - start).norm()
    assert moved > 0.05
    # fp32 rounding moves a few ReLU masks, and signs of tiny differences under l1
    assert ((distiller.pixels.flatten(0, 1).double() - expected).norm() / moved).item() < 3e-2


def test_factor_1_is_idc_i_on_whole_real_images(data: DataSplits, context: Context) -> None:
    whole, real = idc(data, context, factor=1), idc(data, context, factor=1, init="real")
    assert torch.equal(whole.pixels, real.pixels)
    assert torch.equal(run(whole, 3), run(real, 3))
    assert whole.distilled().manifest["decode"] == {"kind": "identity"}


def test_pixels_are_clamped_when_the_network_is_renewed_and_in_the_set(
    data: DataSplits, context: Context
) -> None:
    distiller = idc(data, context, lr_img=50.0)
    run(distiller, 3)
    assert not 0 <= float(distiller.pixels.min()) <= float(distiller.pixels.max()) <= 1
    stored = distiller.distilled().pixels
    assert 0 <= float(stored.min()) <= float(stored.max()) <= 1
    distiller.renew()
    assert torch.equal(distiller.pixels.flatten(0, 1), stored)


@pytest.mark.parametrize(("form", "views"), [("single", 16), ("multi", 20), ("bound", 16)])
def test_the_set_is_used_with_all_its_views(
    data: DataSplits, context: Context, form: str, views: int
) -> None:
    distiller = idc(data, context, decode=form)
    distilled = distiller.distilled()
    assert len(distilled.images()) == len(distilled.labels()) == 3 * views
    expected = data.normalisation.apply(
        decode(distiller.pixels, distiller.stored_spec(), pad=0.5).flatten(0, 1)
    )
    assert torch.equal(distilled.images(), expected)
    values = distiller.hyperparameters.model_dump()
    assert METHOD.training_images(context, values) == 3 * views


def test_no_more_views_than_allowed_are_matched_and_every_step_draws_them_anew(
    data: DataSplits, context: Context
) -> None:
    distiller = idc(data, context, batch_syn_max=5)
    images = torch.arange(16.0).view(16, 1, 1, 1)
    drawn = []
    for iteration in range(6):
        distiller.iteration = iteration
        drawn.append(frozenset(distiller.subsample(images, 0).flatten().tolist()))
    assert {len(chosen) for chosen in drawn} == {5}
    assert len(set(drawn)) > 3
    assert torch.equal(idc(data, context, batch_syn_max=16).subsample(images, 0), images)


def test_an_interrupted_run_continues_bit_for_bit(data: DataSplits, context: Context) -> None:
    whole = run(idc(data, context), 7)
    for cut in (2, 3, 5):
        first, second = idc(data, context), idc(data, context)
        run(first, cut)
        second.load_state_dict(first.state_dict())
        assert torch.equal(run(second, 7 - cut), whole)


def test_the_step_size_scales_with_ipc_and_size_as_the_authors_do(context: Context) -> None:
    values = IDCHyperparameters(lr_img=5e-3)

    def at(**changes: Any) -> float:
        return values.step_size(dataclasses.replace(context, **changes))

    assert at(dataset="cifar10", size=32, ipc=10) == pytest.approx(5e-3)
    assert at(dataset="cifar10", size=32, ipc=1) == pytest.approx(5e-4)
    assert at(dataset="mnist", size=28, ipc=10) == pytest.approx(5e-3)
    assert at(dataset="fashionmnist", size=28, ipc=10) == pytest.approx(5e-3 * 0.765625)
    assert at(dataset="imagenet", size=224, ipc=20) == pytest.approx(1e-2)
    assert IDCHyperparameters(lr_img=5e-3, lr_scaling=False).step_size(context) == 5e-3


def test_recipes_have_cutout_or_cutmix_and_never_both(data: DataSplits, context: Context) -> None:
    own = dataclasses.replace(context, augmentation="color_crop_cutout_flip_scale_rotate")
    mixed = idc(data, own).distilled().recipe
    assert mixed["augmentation"] == "idc:color_crop_flip_scale_rotate"
    assert mixed["cutmix"] == 0.5
    plain = idc(data, own, cutmix=0.0).distilled().recipe
    assert plain["augmentation"] == "idc:color_crop_cutout_flip_scale_rotate"
    assert plain["cutmix"] == 0.0
    assert IDCHyperparameters().net_augmentation == "idc:color_crop"
    assert IDCHyperparameters(cutmix=0.0).net_augmentation == "idc:color_crop_cutout"
    assert IDCHyperparameters(matching_augmentation="idc:cutout").net_augmentation == ""
