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


def positions(one: QueueRealSide) -> list[int]:
    """A list that fills with the positions whose training is done."""
    trained: list[int] = []
    advance = one.advance

    def counted() -> None:
        trained.append(one.position)
        advance()

    one.advance = counted
    return trained


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


@pytest.mark.parametrize("net_start", [2, 3, 7])
def test_the_queue_is_never_longer_than_it_may_be(data: DataSplits, net_start: int) -> None:
    one = side(data, net_start=net_start, net_num=2, net_generate_interval=1)
    for iteration in range(4):
        one.at(iteration)
        newest = net_start + iteration
        assert [member.number for member in one.queue] == [newest - 1, newest]


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
    trained = positions(second)
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


def continued(data: DataSplits, bank: Path, iterations: range, at: int) -> QueueRealSide:
    """A trial that was interrupted before iteration `at`, of those of `iterations`, and continued."""
    first, second = side(data, bank), side(data, bank)
    for iteration in range(iterations.start, at):
        first.at(iteration)
    second.load_state_dict(first.state_dict())
    for iteration in range(at, iterations.stop):
        second.at(iteration)
    return second


def test_where_an_interruption_left_a_hole_a_trial_goes_on_from_the_networks_before_it(
    data: DataSplits, tmp_path: Path
) -> None:
    continued(data, tmp_path, range(50), at=25)
    assert [path.stem for path in sorted(tmp_path.glob("*/*.safetensors"))] == [
        "000000",
        "000001",
        "000003",
        "000004",
    ]
    assert [path.stem for path in sorted(tmp_path.glob("*/chain/*"))] == ["000019", "000049"]
    third = side(data, tmp_path)
    trained = positions(third)
    for iteration in range(30):
        third.at(iteration)
    assert trained == list(range(19, 29))
    assert [path.stem for path in sorted(tmp_path.glob("*/chain/*"))] == ["000049"]  # the hole is filled


def test_networks_that_vanish_from_the_bank_are_trained_again(
    data: DataSplits, computed: list[Targets], tmp_path: Path
) -> None:
    first = side(data, tmp_path)
    for iteration in range(10):
        first.at(iteration)
    (kept,) = tmp_path.glob("*/chain/*.safetensors")
    kept.with_name("000010.safetensors").symlink_to(tmp_path / "gone")  # found, and gone when it is read
    second = side(data, tmp_path)
    trained = positions(second)
    assert same(second.at(11), computed[11])
    assert trained == [9, 10]
    kept.unlink()
    kept.symlink_to(tmp_path / "gone")
    third = side(data, tmp_path)
    trained = positions(third)
    assert same(third.at(11), computed[11])
    assert trained == list(range(11))


def test_counts_of_right_answers_are_those_of_the_logits(data: DataSplits) -> None:
    one = side(data, net_start=1, net_num=1, model_train_steps=1, batch_train=62, lr_net=1e-9, acc_window=50)
    one.at(4)
    (member,) = one.queue
    images = data.normalisation.apply(data.train.take(range(len(data.train))))
    with torch.no_grad():
        right = int((member.net.net(images).argmax(1) == torch.as_tensor(data.train.labels)).sum())
    assert (member.hits, member.seen) == (0, 0)  # it came in this iteration
    targets = one.at(5)
    assert (member.hits, member.seen) == (right, 62)
    assert targets.accuracy == pytest.approx(100 * right / 62)


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
