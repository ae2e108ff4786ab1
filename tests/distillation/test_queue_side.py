"""IDM's real side is a function of the seed and the iteration, although its networks are trained on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from raydd.data import DataSplits
from raydd.devices import Compute
from raydd.distillation import QueueRealSide, QueueSettings, Targets

CPU = Compute(torch.device("cpu"))
SETTINGS = {
    "net_generate_interval": 2,
    "net_num": 5,
    "model_train_steps": 2,
    "batch_train": 8,
    "acc_window": 7,
}


def side(data: DataSplits, bank: Path | None = None, **changes: Any) -> QueueRealSide:
    settings = QueueSettings(**{**SETTINGS, **changes})
    return QueueRealSide(data, "convnet-w4", 6, "color_crop", settings, 0, CPU, bank)


def same(first: Targets, second: Targets) -> bool:
    weights = zip(first.net.state_dict().values(), second.net.state_dict().values())
    return (
        first.accuracy == second.accuracy
        and torch.equal(first.means, second.means)
        and torch.equal(first.covariances, second.covariances)
        and all(torch.equal(a, b) for a, b in weights)
    )


@pytest.fixture(scope="module")
def computed(data: DataSplits) -> list[Targets]:
    """The first 24 iterations, in order, without a bank."""
    one = side(data)
    return [one.at(iteration) for iteration in range(24)]


def test_networks_learn_while_they_are_matched(computed: list[Targets]) -> None:
    assert computed[0].accuracy == 0.0
    assert max(targets.accuracy for targets in computed) > 50.0
    assert not any(parameter.requires_grad for parameter in computed[-1].net.parameters())


@pytest.mark.parametrize("iteration", [0, 5, 12])
def test_an_iteration_has_the_same_targets_whatever_came_before(
    data: DataSplits, computed: list[Targets], iteration: int
) -> None:
    one = side(data)
    assert same(one.at(iteration), computed[iteration])
    assert same(one.at(iteration), computed[iteration])  # asked twice
    assert same(one.at(iteration // 2), computed[iteration // 2])  # and asked back


def test_the_oldest_network_leaves_a_full_queue(data: DataSplits) -> None:
    one = side(data)
    one.at(0)
    assert [member.number for member in one.queue] == [0, 1, 2, 3]
    one.at(8)
    assert [member.number for member in one.queue] == [3, 4, 5, 6, 7]


def test_accuracies_start_afresh_with_every_window(data: DataSplits) -> None:
    one = side(data)
    one.at(6)
    assert sum(member.seen for member in one.queue) > 0
    one.at(7)
    assert sum(member.seen for member in one.queue) == 0


def test_a_second_trial_reads_the_bank_trains_nothing_and_gets_the_same_bits(
    data: DataSplits, computed: list[Targets], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = side(data, tmp_path)
    assert all(same(first.at(iteration), computed[iteration]) for iteration in range(20))
    second = side(data, tmp_path)
    monkeypatch.setattr(second, "advance", None)  # training would fail
    assert all(same(second.at(iteration), computed[iteration]) for iteration in range(20))
    assert second.position is None


def test_behind_the_banks_end_a_trial_goes_on_from_the_kept_networks(
    data: DataSplits, computed: list[Targets], tmp_path: Path
) -> None:
    first = side(data, tmp_path)
    for iteration in range(20):
        first.at(iteration)
    second = side(data, tmp_path)
    trained: list[int] = []
    advance = second.advance

    def counted() -> None:
        trained.append(second.position)
        advance()

    second.advance = counted
    assert same(second.at(22), computed[22])
    assert trained == [19, 20, 21]  # the newest state is that of the last iteration that is stored
    assert len(list(tmp_path.glob("*/chain/*.safetensors"))) == 1


def test_without_the_kept_networks_they_are_trained_again(
    data: DataSplits, computed: list[Targets], tmp_path: Path
) -> None:
    first = side(data, tmp_path)
    for iteration in range(10):
        first.at(iteration)
    (kept,) = tmp_path.glob("*/chain/*.safetensors")
    kept.write_bytes(b"damaged")
    assert same(side(data, tmp_path).at(11), computed[11])


def test_a_state_carries_the_queue_and_continues_bit_for_bit(
    data: DataSplits, computed: list[Targets]
) -> None:
    first = side(data)
    first.at(9)
    second = side(data)
    second.load_state_dict(first.state_dict())
    assert second.position == 9
    assert same(second.at(10), computed[10])


@pytest.mark.parametrize("name", sorted(vars(QueueSettings())))
def test_every_setting_of_the_queue_names_another_bank(data: DataSplits, tmp_path: Path, name: str) -> None:
    other = {name: getattr(QueueSettings(**SETTINGS), name) * 2}
    assert side(data, tmp_path).bank.folder != side(data, tmp_path, **other).bank.folder
