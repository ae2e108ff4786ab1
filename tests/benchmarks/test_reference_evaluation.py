"""The plain loops of training, testing and reading compute what raydd computes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import flops as counting
from benchmarks import ours
from benchmarks.cases import data_open, evaluation
from benchmarks.reference.evaluation import Pictures
from benchmarks.variants import Variant


@pytest.fixture
def training(settings: dict[str, Any]) -> dict[str, Any]:
    """Two networks, epochs 0 to 4: the rate falls after epoch 3."""
    return {**settings, "nets": 2, "epochs": 4}


def test_training_ends_at_the_same_weights(training: dict[str, Any], eager: Variant) -> None:
    loop = evaluation.TrainingLoop(training)
    loop.run()
    first = [copy.deepcopy(net) for net in loop.nets]
    for i, plain in enumerate(first):
        net = ours.evaluated_network("convnet-w12", loop.data, i)
        start = torch.cat([parameter.detach().flatten().clone() for parameter in net.parameters()])
        ours.train(net, loop.images, loop.labels, 4, i, eager)
        mine = torch.cat([parameter.detach().flatten() for parameter in net.parameters()])
        theirs = torch.cat([parameter.detach().flatten() for parameter in plain.parameters()])
        moved = (theirs - start).norm()
        assert moved > 0.01
        assert (mine - theirs).norm() / moved < 1e-3
    assert loop.values()["loss 0"] != loop.values()["loss 1"]


def test_training_again_gives_the_same_values(training: dict[str, Any]) -> None:
    loop = evaluation.TrainingLoop(training)
    loop.run()
    values = loop.values()
    loop.run()
    assert loop.values() == values


def test_training_flops_are_those_of_the_loop_that_runs(training: dict[str, Any]) -> None:
    loop = evaluation.TrainingLoop(training)
    case = next(case for case in evaluation.CASES if case.name == "evaluation-training")
    assert case.flops is not None
    assert case.flops(training) == {"training": counting.count(loop.run)}


def test_testing_finds_the_same_accuracy(settings: dict[str, Any], eager: Variant) -> None:
    loop = evaluation.TestingLoop(settings)
    loop.run()
    net = evaluation._tested(loop)
    found = ours.accuracy(net, loop.data, eager)
    assert loop.values() == {"accuracy": pytest.approx(found, abs=1e-9)}
    assert 1 / 3 < found < 1.0
    case = next(case for case in evaluation.CASES if case.name == "testing-10k")
    assert case.flops is not None
    assert case.flops(settings) == {"testing": counting.count(loop.run)}


def test_a_picture_is_normalised_as_ours_are(settings: dict[str, Any]) -> None:
    data = ours.splits(settings)
    pixels, labels = ours.arrays(data.test)
    pictures = Pictures(
        pixels.permute(0, 2, 3, 1).numpy().copy(),
        labels.tolist(),
        data.normalisation.mean,
        data.normalisation.std,
    )
    assert len(pictures) == 60
    ready = data.normalisation.apply(pixels)
    for index in (0, 59):
        image, label = pictures[index]
        assert torch.equal(image, ready[index])
        assert label == labels[index]


def test_reading_a_folder_finds_the_same_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYDD_CACHE", str(tmp_path))  # put back afterwards
    settings = {"classes": 3, "per_class": 8, "test_per_class": 2, "size": 16}
    values = []
    for make in (data_open.ReadingLoop, data_open.Decoding, data_open.Cached):
        work = make(settings)
        for _ in range(2):
            work.prepare()
            work.run()
        values.append(work.values())
    assert values[0] == {"images": 24.0, "mean": pytest.approx(values[1]["mean"], rel=1e-5), "label": 1.0}
    assert values[1] == values[2]


def test_a_tree_without_a_test_part_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYDD_CACHE", str(tmp_path))
    from benchmarks import pixels

    pixels.write_folder(tmp_path / "tree", 2, 20, 1, 16)
    folder = {"data": str(tmp_path / "tree" / "train")}
    values = []
    for make in (data_open.ReadingLoop, data_open.Cached):
        work = make(folder)
        work.prepare()
        work.run()
        values.append(work.values())
    assert values[0]["images"] == 40.0
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_made_up_images_depend_on_their_class_and_seed() -> None:
    from benchmarks import pixels

    first, labels = pixels.images(2, 3, 16, 0)
    again, _ = pixels.images(2, 3, 16, 0)
    other, _ = pixels.images(2, 3, 16, 1)
    assert first.dtype == np.uint8
    assert first.shape == (6, 3, 16, 16)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    means = first.reshape(2, 3, 3, -1).mean(axis=(1, 3))
    assert np.abs(means[0] - means[1]).max() > 5
