"""The real side is a pure function of the seed and the iteration, and its statistics are those of the equations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from raydd import nets
from raydd.augment import DSA
from raydd.data import DataSplits
from raydd.devices import Compute
from raydd.distillation import FreshRealSide, Targets, local_covariance
from raydd.seeding import generator

CPU = Compute(torch.device("cpu"))
STRATEGY = "color_crop_cutout_flip_scale_rotate"


def real_side(data: DataSplits, **changes: Any) -> FreshRealSide:
    arguments: dict[str, Any] = {
        "net_spec": "convnet-w8",
        "batch_real": 10,
        "augmentation": STRATEGY,
        "covariances": True,
        "seed": 0,
        "compute": CPU,
    }
    return FreshRealSide(data, **{**arguments, **changes})


def in_parts(data: DataSplits, part: int, **changes: Any) -> FreshRealSide:
    side = real_side(data, **changes)
    side.passes.part = part
    return side


def same(first: Targets, second: Targets) -> bool:
    weights = zip(first.net.state_dict().values(), second.net.state_dict().values())
    assert first.covariances is not None
    assert second.covariances is not None
    return (
        torch.equal(first.means, second.means)
        and torch.equal(first.covariances, second.covariances)
        and all(
            a.op == b.op and torch.equal(a.uniforms, b.uniforms) for a, b in zip(first.draws, second.draws)
        )
        and all(torch.equal(a, b) for a, b in weights)
    )


def test_an_iteration_has_the_same_targets_whatever_came_before(data: DataSplits) -> None:
    once = real_side(data)
    in_order = [once.at(iteration) for iteration in range(3)]
    torch.manual_seed(5)
    torch.rand(7)
    assert same(real_side(data).at(2), in_order[2])
    assert same(once.at(0), in_order[0])
    assert not torch.equal(in_order[0].means, in_order[1].means)
    assert not torch.equal(real_side(data, seed=1).at(0).means, in_order[0].means)


def test_the_statistics_are_those_of_the_augmented_real_batches(data: DataSplits) -> None:
    targets = in_parts(data, 4).at(3)
    assert targets.covariances is not None
    net = nets.build("convnet-w8", channels=3, size=8, classes=3, generator=generator(0, "matching_net", 3))
    for class_ in range(3):
        pixels = data.train.sample(class_, 10, generator(0, "real_batch", 3, class_))
        draw = DSA(STRATEGY).draw(generator(0, "augmentation", 3, class_))
        images = DSA(STRATEGY)(data.normalisation.apply(pixels), draw)
        with torch.no_grad():
            torch.testing.assert_close(targets.means[class_], net.embed(images).mean(0), rtol=1e-5, atol=1e-6)
            expected = local_covariance(net.local_features(images))
        torch.testing.assert_close(targets.covariances[class_], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("part", [5, 16, 64])
def test_the_size_of_the_parts_does_not_change_what_is_measured(data: DataSplits, part: int) -> None:
    one = in_parts(data, 1000, batch_real=64).at(0)
    parts = in_parts(data, part, batch_real=64).at(0)
    torch.testing.assert_close(parts.means, one.means, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(parts.covariances, one.covariances, rtol=1e-5, atol=1e-6)


def test_a_small_class_gives_all_its_images_once(data: DataSplits) -> None:
    targets = real_side(data, batch_real=256, augmentation="").at(0)
    members = data.train.take((data.train.labels == 1).nonzero()[0])
    with torch.no_grad():
        expected = targets.net.embed(data.normalisation.apply(members)).mean(0)
    torch.testing.assert_close(targets.means[1], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("batch_real", "part"), [(256, 30), (25, 25)])
def test_compiled_code_on_a_gpu_is_made_for_the_largest_class(
    data: DataSplits, batch_real: int, part: int
) -> None:
    side = real_side(data, batch_real=batch_real, compute=Compute(torch.device("cuda"), compiled=True))
    assert side.largest_batch == part
    assert side.passes.part == part
    assert side.facts()["part"] == part


@pytest.mark.parametrize("net", ["convnet-w8", "resnet18-w4"])
def test_covariances_do_not_change_a_bit_of_the_means(data: DataSplits, net: str) -> None:
    with_covariances = real_side(data, net_spec=net).at(0)
    without = real_side(data, net_spec=net, covariances=False).at(0)
    assert without.covariances is None
    assert torch.equal(with_covariances.means, without.means)


def test_classes_draw_their_own_augmentation_and_nothing_carries_a_graph(data: DataSplits) -> None:
    side = real_side(data)
    ops = {tuple(draw.op for draw in side.at(iteration).draws) for iteration in range(8)}
    assert len(ops) > 4
    assert any(len(set(row)) > 1 for row in ops)
    targets = side.at(0)
    assert targets.covariances is not None
    assert not targets.means.requires_grad
    assert not targets.covariances.requires_grad
    assert not any(parameter.requires_grad for parameter in targets.net.parameters())


def test_targets_from_the_bank_are_those_that_are_computed_bit_for_bit(
    data: DataSplits, tmp_path: Path
) -> None:
    computed = [real_side(data).at(iteration) for iteration in range(12)]
    for _ in ("filled", "read"):
        side = real_side(data, bank=tmp_path)
        assert all(same(side.at(iteration), expected) for iteration, expected in enumerate(computed))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_every_field_of_the_real_side_and_the_seed_name_another_bank(
    data: DataSplits, tmp_path: Path
) -> None:
    changes = [
        {},
        {"seed": 9},
        {"batch_real": 3},
        {"net_spec": "convnet-w8-d2"},
        {"augmentation": "color"},
        {"covariances": False},
        {"compute": Compute(CPU.device, precision="mixed")},
        {"compute": Compute(CPU.device, compiled=True)},
    ]
    folders = {real_side(data, bank=tmp_path, **change).bank.folder for change in changes}
    assert len(folders) == len(changes)
