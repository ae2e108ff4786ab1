from __future__ import annotations

import dataclasses
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raydd import nets
from raydd.augment import DSA, build, cutmix
from raydd.data import ArrayImages
from raydd.devices import Compute
from raydd.normalisation import Normalisation
from raydd.seeding import generator
from raydd.training import DataSource, Recipe, TensorSource, fit, fit_all, fit_together

CPU = Compute(torch.device("cpu"))


def images(n: int, channels: int = 1, size: int = 4) -> Tensor:
    return torch.randn(n, channels, size, size, generator=generator(0, "images"))


def labels(n: int, classes: int = 3) -> Tensor:
    return torch.arange(n) % classes


def linear(inputs: int = 16, classes: int = 3) -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes))
    nets.initialise(net, generator(0, "net"))
    return net


def small_convnet() -> nets.Network:
    return nets.build("convnet-w4", channels=1, size=8, classes=3, generator=generator(0, "net"))


def weights(net: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in net.parameters()]


def softmax_gradient(w: NDArray, b: NDArray, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """Gradient of the mean cross-entropy of a linear classifier, sample by sample."""
    dw, db = np.zeros_like(w), np.zeros_like(b)
    for sample, target in zip(x, y, strict=True):
        logits = w @ sample + b
        delta = np.exp(logits) / np.exp(logits).sum()
        delta[target] -= 1.0
        dw += np.outer(delta, sample) / len(x)
        db += delta / len(x)
    return dw, db


@pytest.mark.parametrize(("batch", "decay_epochs"), [(256, ()), (256, (1, 3)), (4, (2,))])
def test_training_equals_float64_loops_with_the_momentum_lost_at_every_drop(
    batch: int, decay_epochs: tuple[int, ...]
) -> None:
    recipe = Recipe(epochs=6, batch=batch, lr=0.3, momentum=0.9, weight_decay=0.01, decay_epochs=decay_epochs)
    net = linear().double()
    x, y = images(10).double(), labels(10)
    w, b = (value.numpy() for value in weights(net))
    fit(net, TensorSource(x, y), recipe, CPU, seed=3, purpose="test")

    lr, buffers = 0.3, [np.zeros_like(w), np.zeros_like(b)]
    flat = x.flatten(1).numpy()
    for epoch in range(6):
        order = torch.randperm(10, generator=generator(3, "test/order", epoch)).numpy()
        for start in range(0, 10, batch):
            chosen = order[start : start + batch]
            gradients = softmax_gradient(w, b, flat[chosen], y.numpy()[chosen])
            for i, (value, gradient) in enumerate(zip((w, b), gradients, strict=True)):
                buffers[i] = 0.9 * buffers[i] + gradient + 0.01 * value
            w, b = w - lr * buffers[0], b - lr * buffers[1]
        if epoch in decay_epochs:
            lr, buffers = lr * 0.1, [np.zeros_like(w), np.zeros_like(b)]
    for value, expected in zip(weights(net), (w, b), strict=True):
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-9, atol=1e-12)


class Recorder:
    """A source that remembers which images were asked for."""

    def __init__(self, n: int) -> None:
        self.inner = TensorSource(images(n), labels(n))
        self.size, self.classes = self.inner.size, self.inner.classes
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.inner)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        self.asked.append(indices.tolist())
        return self.inner.batch(indices)


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own() -> None:
    source = Recorder(10)
    fit(linear(), source, Recipe(epochs=3, batch=4), CPU, seed=0, purpose="test")
    assert [len(batch) for batch in source.asked] == [4, 4, 2] * 3
    epochs = [list(chain(*source.asked[3 * epoch : 3 * epoch + 3])) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[1] == torch.randperm(10, generator=generator(0, "test/order", 1)).tolist()


def test_each_batch_is_augmented_by_a_draw_of_its_own_for_each_sample() -> None:
    recipe = Recipe(
        epochs=2, batch=4, lr=0.1, momentum=0.0, weight_decay=0.0, augmentation="color_crop_rotate"
    )
    net, expected = linear(), linear()
    x, y = images(6), labels(6)
    fit(net, TensorSource(x, y), recipe, CPU, seed=7, purpose="test")

    dsa = DSA("color_crop_rotate")
    optimiser = torch.optim.SGD(expected.parameters(), lr=0.1)
    for epoch in range(2):
        order = torch.randperm(6, generator=generator(7, "test/order", epoch))
        for number, chosen in enumerate((order[:4], order[4:])):
            draw = dsa.draw(generator(7, "test/augment", epoch, number), len(chosen))
            optimiser.zero_grad()
            nn.functional.cross_entropy(expected(dsa(x[chosen], draw)), y[chosen]).backward()
            optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(weights(net), weights(expected), strict=True))


@pytest.mark.parametrize("decay_epochs", [(), (1,), (1, 3), (0, 0), (2, 2, 3)])
def test_a_decay_that_keeps_the_momentum_is_torchs_multi_step_schedule(decay_epochs: tuple[int, ...]) -> None:
    recipe = Recipe(
        epochs=6, batch=4, lr=0.3, decay_epochs=decay_epochs, decay=0.2, decay_resets_momentum=False
    )
    net, expected = linear(), linear()
    x, y = images(10), labels(10)
    fit(net, TensorSource(x, y), recipe, CPU, seed=7, purpose="test")

    optimiser = torch.optim.SGD(expected.parameters(), lr=0.3, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(
        optimiser, milestones=[epoch + 1 for epoch in decay_epochs], gamma=0.2
    )
    for epoch in range(6):
        for chosen in torch.randperm(10, generator=generator(7, "test/order", epoch)).split(4):
            optimiser.zero_grad()
            nn.functional.cross_entropy(expected(x[chosen]), y[chosen]).backward()
            optimiser.step()
        scheduler.step()
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.3 * 0.2 ** len(decay_epochs), rel=1e-12)
    assert all(torch.equal(a, b) for a, b in zip(weights(net), weights(expected), strict=True))
    if decay_epochs:
        reset = linear()
        lost = dataclasses.replace(recipe, decay_resets_momentum=True)
        fit(reset, TensorSource(x, y), lost, CPU, seed=7, purpose="test")
        assert not torch.equal(weights(reset)[0], weights(net)[0])


@pytest.mark.parametrize("soft", [False, True])
def test_each_batch_is_augmented_and_then_mixed_by_a_stream_of_its_own(soft: bool) -> None:
    recipe = Recipe(
        epochs=3, batch=4, lr=0.1, momentum=0.0, weight_decay=0.0, augmentation="idc:color_crop", cutmix=0.5
    )
    net, expected = linear(), linear()
    x, y = images(6), labels(6)
    targets = nn.functional.one_hot(y, 3).float() if soft else y
    fit(net, TensorSource(x, targets), recipe, CPU, seed=7, purpose="test")

    augment = build("idc:color_crop")
    optimiser = torch.optim.SGD(expected.parameters(), lr=0.1)
    mixed = 0
    for epoch in range(3):
        order = torch.randperm(6, generator=generator(7, "test/order", epoch))
        for number, chosen in enumerate((order[:4], order[4:])):
            draw = augment.draw(generator(7, "test/augment", epoch, number), len(chosen))
            plain = augment(x[chosen], draw)
            batch, mixture = cutmix(plain, y[chosen], 3, 0.5, generator(7, "test/cutmix", epoch, number))
            mixed += not torch.equal(batch, plain)
            optimiser.zero_grad()
            nn.functional.cross_entropy(expected(batch), mixture).backward()
            optimiser.step()
    assert 1 <= mixed <= 5
    assert all(torch.equal(a, b) for a, b in zip(weights(net), weights(expected), strict=True))


def test_seed_and_purpose_decide_the_bits_and_the_global_state_does_not() -> None:
    def trained(seed: int, purpose: str, global_seed: int) -> list[Tensor]:
        torch.manual_seed(global_seed)
        before = torch.random.get_rng_state()
        net = small_convnet()
        recipe = Recipe(epochs=2, batch=4, augmentation="color_crop_cutout_flip_scale_rotate")
        fit(net, TensorSource(images(10, size=8), labels(10)), recipe, CPU, seed=seed, purpose=purpose)
        assert torch.equal(torch.random.get_rng_state(), before)
        return weights(net)

    one = trained(0, "a", 1)
    assert all(torch.equal(a, b) for a, b in zip(one, trained(0, "a", 2), strict=True))
    assert not torch.equal(one[0], trained(1, "a", 1)[0])
    assert not torch.equal(one[0], trained(0, "b", 1)[0])


def test_one_hot_soft_labels_train_as_hard_labels_do() -> None:
    hard, soft = linear().double(), linear().double()
    x, y = images(8).double(), labels(8)
    recipe = Recipe(epochs=3, batch=3, lr=0.1)
    fit(hard, TensorSource(x, y), recipe, CPU, seed=0, purpose="test")
    fit(soft, TensorSource(x, nn.functional.one_hot(y, 3).double()), recipe, CPU, seed=0, purpose="test")
    for a, b in zip(weights(hard), weights(soft), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_uniform_soft_labels_pull_the_logits_together() -> None:
    net, x = linear().double(), images(8).double()
    recipe = Recipe(epochs=400, lr=0.5, weight_decay=0.0)
    fit(
        net,
        TensorSource(x, torch.full((8, 3), 1 / 3, dtype=torch.float64)),
        recipe,
        CPU,
        seed=0,
        purpose="test",
    )
    probabilities = net(x).softmax(1)
    np.testing.assert_allclose(probabilities.detach().numpy(), 1 / 3, atol=1e-3)


def test_on_epoch_is_told_every_epoch_and_frozen_parameters_stay() -> None:
    net = small_convnet().eval()
    frozen = next(net.parameters())
    frozen.requires_grad_(False)
    before = weights(net)
    told: list[int] = []
    fit(
        net,
        TensorSource(images(6, size=8), labels(6)),
        Recipe(3),
        CPU,
        seed=0,
        purpose="t",
        on_epoch=told.append,
    )
    assert told == [0, 1, 2]
    assert torch.equal(weights(net)[0], before[0])
    assert not torch.equal(weights(net)[-1], before[-1])
    assert net.training


def test_stored_images_train_as_their_normalised_tensors_do() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 3, 8, 8), dtype=np.uint8)
    data = ArrayImages(pixels, np.arange(9) % 3)
    normalisation = Normalisation((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    stored, tensors = (
        nets.build("convnet-w4", channels=3, size=8, classes=3, generator=generator(0, "n")) for _ in range(2)
    )
    recipe = Recipe(epochs=2, batch=4, augmentation="crop_flip")
    fit(stored, DataSource(data, normalisation, CPU.device), recipe, CPU, seed=0, purpose="test")
    whole = (torch.from_numpy(pixels) / 255.0 - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor(
        [0.2, 0.3, 0.4]
    ).view(3, 1, 1)
    fit(tensors, TensorSource(whole, torch.arange(9) % 3), recipe, CPU, seed=0, purpose="test")
    assert all(torch.equal(a, b) for a, b in zip(weights(stored), weights(tensors), strict=True))


@pytest.mark.parametrize("spec", ["convnet-w4", "resnet18-w2"])
@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": "color_crop_cutout_flip_scale_rotate"},
        {"augmentation": "idc:color_crop", "cutmix": 0.5, "decay_resets_momentum": False},
    ],
)
def test_networks_trained_together_become_what_each_becomes_alone(spec: str, changes: dict[str, Any]) -> None:
    def make() -> list[nets.Network]:
        return [
            nets.build(spec, channels=1, size=8, classes=3, generator=generator(seed, "net")).double()
            for seed in range(3)
        ]

    source = TensorSource(images(10, size=8).double(), labels(10))
    recipe = Recipe(epochs=3, batch=6, lr=0.1, decay_epochs=(1,), **changes)
    alone, together = make(), make()
    for index, net in enumerate(alone):
        fit(net, source, recipe, CPU, seed=5, purpose=f"test/{index}")
    fit_together(together, source, recipe, CPU, seed=5, purposes=[f"test/{index}" for index in range(3)])
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(weights(one), weights(other), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)
    assert not torch.equal(weights(together[0])[0], weights(together[1])[0])


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "mixed"])
def test_on_a_gpu_networks_are_trained_together_and_become_what_the_cpu_makes_of_them(precision: str) -> None:
    def make() -> list[nets.Network]:
        return [
            nets.build("convnet-w16", channels=1, size=8, classes=3, generator=generator(seed, "net"))
            for seed in range(3)
        ]

    x, y, recipe, purposes = images(10, size=8), labels(10), Recipe(epochs=3, lr=0.05), ["a", "b", "c"]
    on_cpu, on_gpu = make(), make()
    fit_all(on_cpu, TensorSource(x, y), recipe, CPU, seed=0, purposes=purposes)
    gpu = Compute(torch.device("cuda"), precision)
    fit_all(on_gpu, TensorSource(x.cuda(), y.cuda()), recipe, gpu, seed=0, purposes=purposes)
    tolerance = 1e-3 if precision == "fp32" else 3e-2
    for one, other in zip(on_cpu, on_gpu, strict=True):
        for a, b in zip(weights(one), weights(other), strict=True):
            torch.testing.assert_close(a, b.cpu(), rtol=tolerance, atol=tolerance)


@pytest.mark.gpu
def test_training_runs_on_a_gpu_and_draws_what_the_cpu_draws() -> None:
    recipe = Recipe(epochs=2, batch=4, augmentation="color_crop_cutout_flip_scale_rotate")
    on_cpu, on_gpu = small_convnet(), small_convnet().cuda()
    x, y = images(10, size=8), labels(10)
    fit(on_cpu, TensorSource(x, y), recipe, CPU, seed=0, purpose="test")
    fit(
        on_gpu,
        TensorSource(x.cuda(), y.cuda()),
        recipe,
        Compute(torch.device("cuda")),
        seed=0,
        purpose="test",
    )
    for a, b in zip(weights(on_cpu), weights(on_gpu), strict=True):
        torch.testing.assert_close(a, b.cpu(), rtol=1e-3, atol=1e-4)
