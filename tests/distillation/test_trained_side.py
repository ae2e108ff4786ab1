"""IDC's real side is a function of the seed and the iteration, although its network is trained on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from raydd.data import DataSplits
from raydd.devices import Compute
from raydd.distillation import NetTraining, Targets, TrainedRealSide

CPU = Compute(torch.device("cpu"))
SETTINGS = {"inner_loop": 6, "n_data": 12, "batch_train": 4, "lr_net": 0.05}


def side(data: DataSplits, bank: Path | None = None, **changes: Any) -> TrainedRealSide:
    settings = NetTraining(**{**SETTINGS, **changes})
    return TrainedRealSide(data, "convnet-w4", 6, "idc:color_crop_cutout", settings, 0, CPU, bank)


def same(first: Targets, second: Targets) -> bool:
    weights = zip(first.net.state_dict().values(), second.net.state_dict().values())
    return (
        torch.equal(first.means, second.means)
        and len(first.gradients) == len(second.gradients)
        and all(torch.equal(a, b) for a, b in zip(first.gradients, second.gradients))
        and all(torch.equal(a, b) for a, b in weights)
    )


@pytest.fixture(scope="module")
def computed(data: DataSplits) -> list[Targets]:
    """The first 14 iterations, in order, without a bank."""
    one = side(data)
    return [one.at(iteration) for iteration in range(14)]


def test_targets_have_a_gradient_for_each_convolution_and_class(computed: list[Targets]) -> None:
    shapes = [tuple(layer.shape) for layer in computed[0].gradients]
    assert shapes == [(3, 4, 3, 3, 3), (3, 4, 4, 3, 3)]
    assert computed[0].means.shape == (3, 16)
    assert not any(parameter.requires_grad for parameter in computed[0].net.parameters())


@pytest.mark.parametrize("iteration", [0, 4, 6, 13])
def test_an_iteration_has_the_same_targets_whatever_came_before(
    data: DataSplits, computed: list[Targets], iteration: int
) -> None:
    one = side(data)
    assert same(one.at(iteration), computed[iteration])
    assert same(one.at(iteration), computed[iteration])
    assert same(one.at(iteration // 2), computed[iteration // 2])


def test_a_network_is_trained_within_its_loop_and_renewed_after_it(computed: list[Targets]) -> None:
    def weights(iteration: int) -> torch.Tensor:
        return torch.cat([value.flatten() for value in computed[iteration].net.state_dict().values()])

    assert not torch.equal(weights(0), weights(1))
    near, far = (weights(5) - weights(0)).norm(), (weights(6) - weights(5)).norm()
    assert near < far


def test_gradients_are_computed_for_no_more_images_than_the_largest_class_has(data: DataSplits) -> None:
    one = TrainedRealSide(data, "convnet-w4", 256, "idc:crop", NetTraining(**SETTINGS), 0, CPU)
    assert one.largest_batch == 30
    assert one.gradients.part == one.passes.part == 30


def test_without_training_images_only_renewal_changes_the_network(data: DataSplits) -> None:
    one = side(data, n_data=0)
    first, last, renewed = (one.at(iteration).net.state_dict() for iteration in (0, 5, 6))
    assert all(torch.equal(first[name], last[name]) for name in first)
    assert not all(torch.equal(first[name], renewed[name]) for name in first)


def test_early_epochs_train_a_network_before_it_is_matched(data: DataSplits) -> None:
    fresh, trained = side(data).at(0), side(data, early=4).at(0)
    assert not torch.equal(fresh.means, trained.means)
    with torch.no_grad():
        images = data.normalisation.apply(data.train.take(range(len(data.train))))
        labels = torch.as_tensor(data.train.labels)
        right = [(targets.net(images).argmax(1) == labels).double().mean() for targets in (fresh, trained)]
    assert right[1] > right[0] + 0.2


def test_a_second_trial_reads_the_bank_trains_nothing_and_gets_the_same_bits(
    data: DataSplits, computed: list[Targets], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = side(data, tmp_path)
    assert all(same(first.at(iteration), computed[iteration]) for iteration in range(10))
    second = side(data, tmp_path)
    monkeypatch.setattr(second, "_train", None)
    assert all(same(second.at(iteration), computed[iteration]) for iteration in range(10))
    monkeypatch.undo()
    assert same(second.at(11), computed[11])


def test_a_state_carries_the_network_and_continues_bit_for_bit(
    data: DataSplits, computed: list[Targets]
) -> None:
    first = side(data)
    first.at(8)
    second = side(data)
    second.load_state_dict(first.state_dict())
    assert second.position == 8
    assert same(second.at(9), computed[9])


@pytest.mark.parametrize("banked", [False, True])
def test_targets_hold_the_network_of_the_statistics_and_not_the_one_that_is_trained(
    data: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, banked: bool
) -> None:
    one = side(data, tmp_path if banked else None)
    under: list[object] = []
    statistics = one.statistics

    def seen(net: Any, iteration: int, draws: Any) -> dict[str, torch.Tensor]:
        under.append(net)
        return statistics(net, iteration, draws)

    monkeypatch.setattr(one, "statistics", seen)
    targets = [one.at(iteration) for iteration in range(3)]
    assert [found.net for found in targets] == under  # one copy, not two
    assert one.net is not None
    assert all(found.net is not one.net.net for found in targets)


@pytest.mark.parametrize("name", sorted(vars(NetTraining())))
def test_every_setting_of_the_training_names_another_bank(
    data: DataSplits, tmp_path: Path, name: str
) -> None:
    other: dict[str, Any] = {"augmentation": "idc:crop", "early": 1}
    value = other[name] if name in other else getattr(NetTraining(**SETTINGS), name) / 2
    change = {name: value}
    assert side(data, tmp_path).bank.folder != side(data, tmp_path, **change).bank.folder
