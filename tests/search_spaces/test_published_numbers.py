import csv
from pathlib import Path

import pytest

import search_spaces
from search_spaces import published, published_numbers
from search_spaces.published_numbers import CONFIDENCES, KINDS, find, numbers


def one(*arguments, **more):
    (found,) = find(*arguments, **more)
    return found


def test_every_number_says_where_it_stands_and_how_sure_it_is():
    assert len(numbers()) == 213
    for number in numbers():
        assert number.source
        assert number.confidence in CONFIDENCES
        assert number.kind in KINDS
        assert number.labels in ("hard", "soft")
        assert number.network
        assert 0.0 < number.mean < 1.0
        assert number.spread is None or 0.0 < number.spread < 0.01
        assert number.dataset in published.TITLES
        assert (number.source.startswith("not looked up again")) == (number.confidence == "from memory")


def test_no_number_stands_twice():
    keys = [(n.dataset, n.ipc, n.name, n.network, n.kind) for n in numbers()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("method", "dataset", "ipc", "values", "text", "caution"),
    [
        ("dm", "cifar10", 10, {}, "48.9 ± 0.6", ""),
        ("dm", "cifar10", 1250, {}, "80.8", ""),
        ("dm", "mnist", 1, {}, "89.7", "from memory"),
        ("iid", "cifar10", 10, {"base": "dm"}, "55.1", "from memory"),
        ("iid", "cifar10", 10, {"base": "idm"}, "59.9", "from memory"),
        ("idm", "cifar100", 50, {}, "50.0", ""),
        ("idc", "svhn", 1, {"factor": 2}, "68.5", ""),
        ("idc", "svhn", 1, {"factor": 1}, "46.7", ""),
        ("udd", "cifar100", 1, {}, "next best + 3.7", ""),
        ("dsa", "cifar100", 50, {}, "42.8", "from memory"),
        ("tesla", "imagenet", 50, {}, "27.9", ""),
    ],
)
def test_spot_checks(method, dataset, ipc, values, text, caution):
    found = one(method, dataset, ipc, values)
    assert (found.text, found.caution) == (text, caution)


def test_networks_and_labels_are_told_apart():
    found = {number.network: number for number in find("dwa", "cifar10", 50, labels="soft")}
    assert {net: (n.mean, n.spread) for net, n in found.items()} == {
        "ResNet-18": (0.531, 0.003),
        "ConvNet": (0.633, 0.007),
    }
    assert find("dwa", "cifar10", 50, labels="hard") == []
    assert find("dwa", "digits", 10) == []


def test_gains_of_no_ipc_are_found_for_none():
    gains = {n.dataset: n.mean for n in numbers() if n.method == "iid" and n.kind == "gain"}
    assert gains == {"cifar10": 0.066, "svhn": 0.029, "cifar100": 0.025, "tinyimagenet": 0.025}
    assert all(n.ipc is None for n in numbers() if n.method == "iid" and n.kind == "gain")


def test_the_file_is_shipped_beside_the_reader():
    path = Path(search_spaces.__file__).parent / "published_numbers.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(published_numbers.numbers())
    assert None not in rows[0]
