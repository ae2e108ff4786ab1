from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raydd import nets
from raydd.devices import Compute
from raydd.errors import ConfigError
from raydd.seeding import generator
from raydd.training import Recipe, ReplayedLabels, TeacherLabels, TensorSource, fit, fit_all, replay_logits
from raydd.training.batches import batches

CPU = Compute(torch.device("cpu"))

MakeNet = Callable[..., nets.Network]


def images(n: int, size: int = 8) -> Tensor:
    return torch.randn(n, 1, size, size, generator=generator(0, "images"))


def whole_images(n: int, size: int = 4) -> Tensor:
    return torch.randint(-3, 4, (n, 1, size, size), generator=generator(0, "whole")).float()


def teacher() -> nets.Network:
    """A ConvNet with batch norm whose running statistics are not those of the images here."""
    net = nets.build("convnet-bn-w4", channels=1, size=8, classes=3, generator=generator(3, "teacher"))
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for i, norm in enumerate(norms):
        norm.running_mean.uniform_(-0.5, 0.5, generator=generator(i, "mean"))
        norm.running_var.uniform_(0.5, 2.0, generator=generator(i, "var"))
    return net.eval().requires_grad_(False)


def copied(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    rows = []
    for row in logits.astype(np.float64):
        powers = np.exp(row / temperature - max(row / temperature))
        rows.append(powers / sum(powers))
    return np.stack(rows)


@pytest.mark.parametrize("temperature", [1.0, 30.0])
def test_a_teacher_in_eval_mode_labels_each_image_by_its_softened_logits(temperature: float) -> None:
    net, x = teacher(), images(6)
    labels = TeacherLabels(net, CPU, temperature, batch=6, size=8)
    given = labels(x, 0, 0)
    assert given.dtype == torch.float32
    np.testing.assert_allclose(given.numpy(), softmax(net(x).numpy(), temperature), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(labels(x[4:], 5, 7), given[4:])


def test_where_training_runs_in_bfloat16_so_does_the_teacher() -> None:
    net, x = teacher(), images(6)
    given = TeacherLabels(net, Compute(torch.device("cpu"), "mixed"), 4.0, batch=6, size=8)(x, 0, 0)
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(x).float()
    assert given.dtype == torch.float32
    torch.testing.assert_close(given, torch.softmax(logits / 4.0, dim=1))
    assert not torch.equal(given, TeacherLabels(net, CPU, 4.0, batch=6, size=8)(x, 0, 0))


def test_a_teacher_in_train_mode_reads_the_batch_and_its_statistics_drift_while_the_original_stays() -> None:
    net, x = teacher(), images(6)
    before = copied(net)
    labels = TeacherLabels(net, CPU, 4.0, mode="train", batch=6, size=8)
    given = labels(x, 0, 0)
    batch = teacher().train()
    np.testing.assert_allclose(given.numpy(), softmax(batch(x).numpy(), 4.0), rtol=1e-5, atol=1e-7)
    assert not torch.allclose(given, TeacherLabels(net, CPU, 4.0, batch=6, size=8)(x, 0, 0), atol=1e-3)
    assert not torch.allclose(given[4:], labels(x[4:], 0, 1), atol=1e-4)

    assert equal(before, copied(net))
    assert not net.training
    drifted = TeacherLabels(net, CPU, 4.0, mode="train", batch=6, size=8)
    drifted(x, 0, 0)
    name = next(name for name, _ in net.named_buffers() if name.endswith("running_mean"))
    convolved = next(module for module in net.modules() if isinstance(module, nn.Conv2d))(x)
    expected = 0.9 * before[name] + 0.1 * convolved.mean(dim=(0, 2, 3))
    torch.testing.assert_close(drifted.net.state_dict()[name], expected)
    once = copied(drifted.net)
    drifted(x, 0, 1)
    assert not equal(once, copied(drifted.net))
    weight = name.replace("running_mean", "weight")
    assert torch.equal(drifted.net.state_dict()[weight], before[weight])


def test_every_network_has_a_train_mode_teacher_that_starts_from_the_original() -> None:
    net, source = teacher(), TensorSource(images(10), torch.arange(10) % 3)
    recipe = Recipe(epochs=2, batch=4, mixup=0.8, temperature=4.0)

    def students() -> list[nets.Network]:
        return [
            nets.build("convnet-w4", channels=1, size=8, classes=3, generator=generator(i, "net"))
            for i in range(2)
        ]

    def labels() -> TeacherLabels:
        return TeacherLabels(net, CPU, 4.0, mode="train", batch=4, size=8)

    before = copied(net)
    together, second = students(), students()[1]
    fit_all(together, source, recipe, CPU, seed=0, purposes=["a", "b"], labels=labels)
    fit(second, source, recipe, CPU, seed=0, purpose="b", labels=labels())
    assert equal(copied(together[1]), copied(second))
    assert equal(before, copied(net))


def test_a_teacher_that_drops_out_in_train_mode_draws_from_the_trainings_own_state(linear: MakeNet) -> None:
    def trained(global_seed: int) -> dict[str, Tensor]:
        torch.manual_seed(global_seed)
        before = torch.random.get_rng_state()
        student, net = linear(), linear(dropout=0.5)
        labels = TeacherLabels(net, CPU, 1.0, mode="train", batch=4, size=4)
        source = TensorSource(images(10, size=4), torch.arange(10) % 3)
        fit(student, source, Recipe(epochs=2, batch=4), CPU, seed=0, purpose="t", labels=labels)
        assert torch.equal(torch.random.get_rng_state(), before)
        return copied(student)

    assert equal(trained(1), trained(2))


@pytest.mark.parametrize(
    "changes",
    [
        {"augmentation": "standard:crop_flip", "cutmix": 1.0},
        {"augmentation": "standard:crop_flip", "cutmix": 0.5, "temperature_squared": True},
        {"optimiser": "adamw", "schedule": "cosine"},
    ],
)
def test_replayed_labels_train_bit_for_bit_as_the_teacher_does_who_gave_them(
    changes: dict[str, Any], linear: MakeNet, whole_numbers: MakeNet
) -> None:
    # Whole pixels and weights have whole logits, which float16 holds exactly; crop, flip and CutMix keep pixels whole.
    recipe = Recipe(epochs=3, batch=4, lr=0.05, temperature=20.0, **changes)
    source = TensorSource(whole_images(10), torch.arange(10) % 3)
    net = whole_numbers()
    online, replayed, hard = linear(), linear(), linear()
    fit(
        online,
        source,
        recipe,
        CPU,
        seed=2,
        purpose="p",
        labels=TeacherLabels(net, CPU, 20.0, batch=4, size=4),
    )
    logits = replay_logits(net, source, recipe, CPU, seed=2, purpose="p", epochs=3)
    assert (logits.dtype, logits.shape) == (torch.float16, (3, 10, 3))
    labels = ReplayedLabels(logits, 20.0, recipe=recipe, seed=2, purpose="p")
    fit(replayed, source, recipe, CPU, seed=2, purpose="p", labels=labels)
    assert equal(copied(online), copied(replayed))
    fit(hard, source, recipe, CPU, seed=2, purpose="p")
    assert not equal(copied(online), copied(hard))


def test_logits_are_recorded_in_the_order_of_the_batches() -> None:
    net, source = teacher(), TensorSource(images(10), torch.arange(10) % 3)
    recipe = Recipe(epochs=1, batch=4, augmentation="standard:rrc_flip", mixup=0.8)
    logits = replay_logits(
        net, source, recipe, CPU, seed=2, purpose="p", epochs=2
    )  # more than the recipe's own
    for epoch in range(2):
        seen = torch.cat([batch for batch, _ in batches(source, recipe, 2, "p", epoch)])
        torch.testing.assert_close(
            logits[epoch].float(), net(seen), rtol=2e-3, atol=2e-3
        )  # 11 bits of float16
    assert not torch.equal(logits[0], logits[1])
    plain = Recipe(epochs=1, batch=4)
    recorded = replay_logits(net, source, plain, CPU, seed=2, purpose="p", epochs=1)
    order = torch.randperm(10, generator=generator(2, "p/order", 0))
    torch.testing.assert_close(recorded[0].float(), net(source.images[order]), rtol=2e-3, atol=2e-3)


def test_replayed_rows_follow_the_batches_of_every_epoch_from_the_first_on() -> None:
    logits = torch.randn(2, 10, 3, generator=generator(0, "logits")).half()
    labels = ReplayedLabels(logits, 2.0)
    for epoch in (0, 1, 0):
        first = 0
        for number, count in enumerate((4, 4, 2)):
            given = labels(torch.zeros(count, 1, 4, 4), epoch, number)
            rows = logits[epoch, first : first + count].numpy()
            assert given.dtype == torch.float32
            np.testing.assert_allclose(given.numpy(), softmax(rows, 2.0), rtol=1e-5, atol=1e-7)
            first += count


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 4}, r"epochs: labels were stored for 3 epochs, got 4"),
        ({"batch": 5}, r"batch: the stored labels belong to batches with 4, got 5"),
        (
            {"augmentation": "standard:crop"},
            r"augmentation: the stored labels belong to batches with 'standard:crop_flip', got 'standard:crop'",
        ),
        ({"cutmix": 0.5}, r"cutmix: the stored labels belong to batches with 1\.0, got 0\.5"),
        ({"cutmix": 0.0, "mixup": 0.8}, r"cutmix: the stored labels belong to batches with 1\.0, got 0\.0"),
        ({"seed": 3}, r"seed: the stored labels belong to batches with 2, got 3"),
        ({"purpose": "q"}, r"purpose: the stored labels belong to batches with 'p', got 'q'"),
        ({"n": 9}, r"images: the stored labels belong to batches with 10, got 9"),
        ({"classes": 5}, r"classes: the stored labels belong to batches with 3, got 5"),
    ],
)
def test_a_training_with_other_batches_than_were_recorded_is_refused_before_it_begins(
    changes: dict[str, Any], message: str, linear: MakeNet
) -> None:
    fields: dict[str, Any] = {
        "epochs": 3,
        "batch": 4,
        "augmentation": "standard:crop_flip",
        "cutmix": 1.0,
    }
    recorded = Recipe(**fields)
    labels = ReplayedLabels(torch.zeros(3, 10, 3).half(), 2.0, recipe=recorded, seed=2, purpose="p")
    asked = {"seed": 2, "purpose": "p", "n": 10, "classes": 3, **fields, **changes}
    seed, purpose, n, classes = (asked.pop(name) for name in ("seed", "purpose", "n", "classes"))
    source = TensorSource(images(n, size=4), torch.arange(n) % 3, classes)
    net = linear(classes=classes)
    before = copied(net)
    with pytest.raises(ConfigError, match=f"^{message}$") as caught:
        fit(net, source, Recipe(**asked), CPU, seed=seed, purpose=purpose, labels=labels)
    assert len(caught.value.problems) == 1
    assert equal(before, copied(net))
    with pytest.raises(ConfigError, match=message):
        fit_all(
            [net, linear(classes=classes)],
            source,
            Recipe(**asked),
            CPU,
            seed=seed,
            purposes=[purpose, purpose],
            together=2,
            labels=lambda: labels,
        )


def test_what_does_not_make_the_batches_may_differ_from_the_recording(linear: MakeNet) -> None:
    recorded = Recipe(epochs=3, batch=256)
    labels = ReplayedLabels(torch.zeros(3, 10, 3).half(), 2.0, recipe=recorded, seed=2, purpose="p")
    source = TensorSource(images(10, size=4), torch.arange(10) % 3)
    other = Recipe(
        epochs=2, batch=10, optimiser="adamw", schedule="cosine", temperature=2.0
    )  # one batch either way
    fit(linear(), source, other, CPU, seed=2, purpose="p", labels=labels)


def test_labels_that_know_no_recipe_still_refuse_epochs_and_images_that_were_not_stored() -> None:
    labels = ReplayedLabels(torch.zeros(3, 10, 3).half(), 2.0)
    with pytest.raises(
        ConfigError, match=r"labels: 3 epochs of 10 images were stored, and image 4 of epoch 4 is"
    ):
        labels(torch.zeros(4, 1, 4, 4), 3, 0)
    labels(torch.zeros(8, 1, 4, 4), 0, 0)
    with pytest.raises(
        ConfigError, match=r"labels: 3 epochs of 10 images were stored, and image 11 of epoch 1 is"
    ):
        labels(torch.zeros(3, 1, 4, 4), 0, 1)


def test_bad_arguments_are_refused(linear: MakeNet) -> None:
    with pytest.raises(ConfigError, match=r"teacher_mode: unknown mode 'evil'.*\(allowed: eval, train\)"):
        TeacherLabels(linear(), CPU, 1.0, mode="evil", batch=4, size=4)
    for temperature in (0.0, -1.0, 0.009, 10_001.0, float("nan")):
        sentence = rf"^temperature: must be in \[0.01, 10000\], got {temperature}$"
        with pytest.raises(ConfigError, match=sentence):
            TeacherLabels(linear(), CPU, temperature, batch=4, size=4)
        with pytest.raises(ConfigError, match=sentence):
            ReplayedLabels(torch.zeros(3, 10, 3).half(), temperature)
    source = TensorSource(images(4, size=4), torch.arange(4) % 3)
    with pytest.raises(ConfigError, match="epochs: must be at least 1, got 0"):
        replay_logits(linear(), source, Recipe(epochs=1), CPU, seed=0, purpose="p", epochs=0)


@pytest.mark.gpu
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_on_a_gpu_a_teacher_says_what_it_says_on_the_cpu(mode: str) -> None:
    x, gpu = images(6), Compute(torch.device("cuda"))
    on_cpu = TeacherLabels(teacher(), CPU, 4.0, mode=mode, batch=6, size=8)(x, 0, 0)
    on_gpu = TeacherLabels(teacher(), gpu, 4.0, mode=mode, batch=6, size=8)(x.cuda(), 0, 0)
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=1e-4, atol=1e-5)
    logits = torch.randn(2, 6, 3, generator=generator(0, "logits")).half()
    assert ReplayedLabels(logits, 2.0)(x.cuda(), 1, 0).device.type == "cuda"
