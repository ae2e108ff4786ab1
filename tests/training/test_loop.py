from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raydd import nets
from raydd.augment import DSA, build, cutmix, mixup
from raydd.data import ArrayImages
from raydd.devices import Compute
from raydd.normalisation import Normalisation
from raydd.seeding import generator
from raydd.training import DataSource, Labels, Recipe, TeacherLabels, TensorSource, fit, fit_all, fit_together

CPU = Compute(torch.device("cpu"))

MakeNet = Callable[..., nets.Network]


def images(n: int, channels: int = 1, size: int = 4) -> Tensor:
    return torch.randn(n, channels, size, size, generator=generator(0, "images"))


def labels(n: int, classes: int = 3) -> Tensor:
    return torch.arange(n) % classes


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
    batch: int, decay_epochs: tuple[int, ...], linear: MakeNet
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

    soft = False

    def __init__(self, n: int) -> None:
        self.inner = TensorSource(images(n), labels(n))
        self.size, self.classes = self.inner.size, self.inner.classes
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.inner)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        self.asked.append(indices.tolist())
        return self.inner.batch(indices)


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own(linear: MakeNet) -> None:
    source = Recorder(10)
    fit(linear(), source, Recipe(epochs=3, batch=4), CPU, seed=0, purpose="test")
    assert [len(batch) for batch in source.asked] == [4, 4, 2] * 3
    epochs = [list(chain(*source.asked[3 * epoch : 3 * epoch + 3])) for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert epochs[1] == torch.randperm(10, generator=generator(0, "test/order", 1)).tolist()


def test_each_batch_is_augmented_by_a_draw_of_its_own_for_each_sample(linear: MakeNet) -> None:
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
def test_a_decay_that_keeps_the_momentum_is_torchs_multi_step_schedule(
    decay_epochs: tuple[int, ...], linear: MakeNet
) -> None:
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
def test_each_batch_is_augmented_and_then_mixed_by_a_stream_of_its_own(soft: bool, linear: MakeNet) -> None:
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


def test_each_batch_is_augmented_and_then_blended_by_a_stream_of_its_own(linear: MakeNet) -> None:
    recipe = Recipe(
        epochs=3,
        batch=4,
        lr=0.1,
        momentum=0.0,
        weight_decay=0.0,
        augmentation="standard:crop_flip",
        mixup=0.8,
        temperature=9.0,
    )
    net, expected = linear(), linear()
    x, y = images(6), labels(6)
    fit(net, TensorSource(x, y), recipe, CPU, seed=7, purpose="test")

    augment = build("standard:crop_flip")
    optimiser = torch.optim.SGD(expected.parameters(), lr=0.1)
    for epoch in range(3):
        order = torch.randperm(6, generator=generator(7, "test/order", epoch))
        for number, chosen in enumerate((order[:4], order[4:])):
            draw = augment.draw(generator(7, "test/augment", epoch, number), len(chosen))
            batch = augment(x[chosen], draw)
            batch, mixture = mixup(batch, y[chosen], 3, 0.8, generator(7, "test/mixup", epoch, number))
            optimiser.zero_grad()
            nn.functional.cross_entropy(expected(batch), mixture).backward()  # T is 1: the labels are hard
            optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(weights(net), weights(expected), strict=True))


@pytest.mark.parametrize(("temperature", "squared"), [(1.0, False), (4.0, False), (30.0, False), (4.0, True)])
def test_with_soft_labels_a_step_follows_the_divergence_from_the_teacher(
    temperature: float, squared: bool, linear: MakeNet
) -> None:
    x, teacher = images(7).double(), linear(classes=5).double()
    probabilities = torch.softmax(3.0 * teacher(x).detach(), dim=1)
    net = linear(classes=5).double()
    with torch.no_grad():
        net.classifier.weight.mul_(-1.0)
    w, b = (value.numpy() for value in weights(net))
    recipe = Recipe(
        epochs=1,
        lr=0.5,
        momentum=0.0,
        weight_decay=0.0,
        temperature=temperature,
        temperature_squared=squared,
    )
    before = [parameter.clone().requires_grad_() for parameter in weights(net)]
    fit(net, TensorSource(x, probabilities), recipe, CPU, seed=0, purpose="test")

    dw, db = np.zeros_like(w), np.zeros_like(b)
    for sample, p in zip(x.flatten(1).numpy(), probabilities.numpy(), strict=True):
        logits = (w @ sample + b) / temperature
        delta = (np.exp(logits) / np.exp(logits).sum() - p) / temperature * (temperature**2 if squared else 1)
        dw += np.outer(delta, sample) / 7
        db += delta / 7
    for value, expected in zip(weights(net), (w - 0.5 * dw, b - 0.5 * db), strict=True):
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-10, atol=1e-13)

    student = (x.flatten(1) @ before[0].T + before[1]) / temperature
    divergence = nn.functional.kl_div(student.log_softmax(1), probabilities, reduction="batchmean")
    (divergence * (temperature**2 if squared else 1)).backward()
    for value, old in zip(weights(net), before, strict=True):
        torch.testing.assert_close(value, old.detach() - 0.5 * old.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("mixing", [{}, {"cutmix": 1.0}, {"mixup": 0.8}])
def test_hard_labels_know_no_temperature(mixing: dict[str, float], linear: MakeNet) -> None:
    plain, tempered = linear(), linear()
    source = TensorSource(images(6), labels(6))
    fit(plain, source, Recipe(epochs=2, **mixing), CPU, seed=0, purpose="test")
    recipe = Recipe(epochs=2, temperature=20.0, temperature_squared=True, **mixing)
    fit(tempered, source, recipe, CPU, seed=0, purpose="test")
    assert all(torch.equal(a, b) for a, b in zip(weights(plain), weights(tempered), strict=True))


@pytest.mark.parametrize("mixing", [{}, {"cutmix": 0.7}, {"mixup": 0.8}])
def test_labels_see_the_augmented_and_mixed_batches_and_take_the_place_of_the_targets(
    mixing: dict[str, float], linear: MakeNet, whole_numbers: MakeNet
) -> None:
    recipe = Recipe(
        epochs=3,
        batch=4,
        lr=0.1,
        momentum=0.0,
        weight_decay=0.0,
        augmentation="standard:rrc_flip",
        temperature=5.0,
        **mixing,
    )
    net, expected, teacher = linear(), linear(), whole_numbers()
    x = images(6)
    nothing = torch.full((6,), -1)  # what the source says is never read
    kept = TeacherLabels(teacher, CPU, 5.0, batch=4, size=4)
    fit(net, TensorSource(x, nothing, classes=3), recipe, CPU, seed=7, purpose="test", labels=kept)

    augment = build("standard:rrc_flip")
    optimiser = torch.optim.SGD(expected.parameters(), lr=0.1)
    for epoch in range(3):
        order = torch.randperm(6, generator=generator(7, "test/order", epoch))
        for number, chosen in enumerate((order[:4], order[4:])):
            batch = augment(x[chosen], augment.draw(generator(7, "test/augment", epoch, number), len(chosen)))
            zeros = torch.zeros(len(chosen), dtype=torch.int64)
            if "cutmix" in mixing:
                batch, _ = cutmix(batch, zeros, 3, 0.7, generator(7, "test/cutmix", epoch, number))
            if "mixup" in mixing:
                batch, _ = mixup(batch, zeros, 3, 0.8, generator(7, "test/mixup", epoch, number))
            targets = torch.softmax(teacher(batch).detach() / 5.0, dim=1)
            optimiser.zero_grad()
            nn.functional.cross_entropy(expected(batch) / 5.0, targets).backward()
            optimiser.step()
    for a, b in zip(weights(net), weights(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


class Numbered(Labels):
    """Says which batches it was asked to label."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, int]] = []

    def __call__(self, images: Tensor, epoch: int, number: int) -> Tensor:
        self.asked.append((len(images), epoch, number))
        return torch.full((len(images), 3), 1 / 3)


def test_labels_are_told_epoch_and_batch_and_each_network_has_its_own() -> None:
    made: list[Numbered] = []

    def make() -> Labels:
        made.append(Numbered())
        return made[-1]

    source, recipe = TensorSource(images(6, size=8), labels(6)), Recipe(epochs=2, batch=4)
    for together in (1, 2):
        made.clear()
        networks = [small_convnet(), small_convnet(), small_convnet()]
        fit_all(
            networks, source, recipe, CPU, seed=0, purposes=["a", "b", "c"], together=together, labels=make
        )
        assert len(made) == 3
        assert [its.asked for its in made] == [[(4, 0, 0), (2, 0, 1), (4, 1, 0), (2, 1, 1)]] * 3


def test_a_network_with_batch_norm_is_trained_in_train_mode_and_repeats_itself_bit_for_bit() -> None:
    def trained() -> dict[str, Tensor]:
        net = nets.build("convnet-bn-w4", channels=1, size=8, classes=3, generator=generator(0, "net"))
        recipe = Recipe(
            epochs=3,
            batch=4,
            lr=1e-3,
            optimiser="adamw",
            schedule="cosine",
            augmentation="standard:crop_flip",
            mixup=0.8,
            temperature=30.0,
        )
        teacher = nets.build("convnet-bn-w4", channels=1, size=8, classes=3, generator=generator(1, "net"))
        kept = TeacherLabels(teacher, CPU, 30.0, mode="train", batch=4, size=8)
        source = TensorSource(images(10, size=8), labels(10))
        fit(net, source, recipe, CPU, seed=0, purpose="test", labels=kept)
        assert net.training
        return net.state_dict()

    one, other = trained(), trained()
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    counts = [int(value) for name, value in one.items() if name.endswith("num_batches_tracked")]
    assert counts
    assert set(counts) == {9}  # one count a batch: the batch is run whole


def test_a_network_that_draws_has_a_state_of_its_own(linear: MakeNet) -> None:
    def trained(seed: int, purpose: str, global_seed: int) -> list[Tensor]:
        torch.manual_seed(global_seed)
        before = torch.random.get_rng_state()
        net = linear(dropout=0.5)
        recipe = Recipe(epochs=2, batch=10)
        fit(net, TensorSource(images(10), labels(10)), recipe, CPU, seed=seed, purpose=purpose)
        assert torch.equal(torch.random.get_rng_state(), before)
        return weights(net)

    one = trained(0, "a", 1)
    assert all(torch.equal(a, b) for a, b in zip(one, trained(0, "a", 2), strict=True))
    # A batch of all images, without momentum of the order: what differs is what was dropped.
    assert not torch.allclose(one[0], trained(1, "a", 1)[0])
    assert not torch.allclose(one[0], trained(0, "b", 1)[0])


def test_networks_that_no_ensemble_supports_are_trained_one_after_the_other() -> None:
    def make() -> list[nets.Network]:
        return [
            nets.build("convnet-bn-w4", channels=1, size=8, classes=3, generator=generator(seed, "net"))
            for seed in range(2)
        ]

    source, recipe = TensorSource(images(10, size=8), labels(10)), Recipe(epochs=2, batch=4)
    alone, all_of_them = make(), make()
    for net, purpose in zip(alone, ["a", "b"], strict=True):
        fit(net, source, recipe, CPU, seed=0, purpose=purpose)
    fit_all(all_of_them, source, recipe, CPU, seed=0, purposes=["a", "b"], together=2)
    for one, other in zip(alone, all_of_them, strict=True):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


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


def test_one_hot_soft_labels_train_as_hard_labels_do(linear: MakeNet) -> None:
    hard, soft = linear().double(), linear().double()
    x, y = images(8).double(), labels(8)
    recipe = Recipe(epochs=3, batch=3, lr=0.1)
    fit(hard, TensorSource(x, y), recipe, CPU, seed=0, purpose="test")
    fit(soft, TensorSource(x, nn.functional.one_hot(y, 3).double()), recipe, CPU, seed=0, purpose="test")
    for a, b in zip(weights(hard), weights(soft), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_uniform_soft_labels_pull_the_logits_together(linear: MakeNet) -> None:
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
        {"optimiser": "adamw", "schedule": "cosine", "warmup": 1, "mixup": 0.8, "weight_decay": 0.1},
        {"decay_matrices_only": True, "weight_decay": 0.1},
    ],
)
def test_networks_trained_together_become_what_each_becomes_alone(spec: str, changes: dict[str, Any]) -> None:
    def make() -> list[nets.Network]:
        return [
            nets.build(spec, channels=1, size=8, classes=3, generator=generator(seed, "net")).double()
            for seed in range(3)
        ]

    source = TensorSource(images(10, size=8).double(), labels(10))
    drops = () if "schedule" in changes else (1,)
    recipe = Recipe(epochs=3, batch=6, lr=0.1, decay_epochs=drops, **changes)
    alone, together = make(), make()
    for index, net in enumerate(alone):
        fit(net, source, recipe, CPU, seed=5, purpose=f"test/{index}")
    fit_together(together, source, recipe, CPU, seed=5, purposes=[f"test/{index}" for index in range(3)])
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(weights(one), weights(other), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)
    assert not torch.equal(weights(together[0])[0], weights(together[1])[0])


@pytest.mark.parametrize(("temperature", "squared"), [(1.0, False), (3.0, False), (3.0, True)])
def test_networks_trained_together_learn_from_a_teacher_as_each_does_alone(
    temperature: float, squared: bool
) -> None:
    def make() -> list[nets.Network]:
        return [
            nets.build("convnet-w4", channels=1, size=8, classes=3, generator=generator(seed, "net")).double()
            for seed in range(3)
        ]

    teacher = nets.build(
        "convnet-bn-w4", channels=1, size=8, classes=3, generator=generator(9, "net")
    ).double()
    source = TensorSource(images(10, size=8).double(), labels(10))
    recipe = Recipe(
        epochs=3, batch=6, lr=0.1, cutmix=1.0, temperature=temperature, temperature_squared=squared
    )
    purposes = ["a", "b", "c"]
    networks: list[list[nets.Network]] = []
    for together in (1, 2):
        networks.append(make())
        fit_all(
            networks[-1],
            source,
            recipe,
            CPU,
            seed=5,
            purposes=purposes,
            together=together,
            labels=lambda: TeacherLabels(teacher, CPU, temperature, mode="train", batch=6, size=8),
        )
    for one, other in zip(*networks, strict=True):
        for a, b in zip(weights(one), weights(other), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)
    start = make()[0]
    assert not torch.allclose(weights(start)[0], weights(networks[0][0])[0])


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
