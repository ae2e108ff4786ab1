from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from raydd import nets
from raydd.data import DataSplits
from raydd.devices import Compute
from raydd.errors import ConfigError, DataError
from raydd.evaluation import Evaluation, evaluate, protocols
from raydd.seeding import generator
from raydd.storage import DistilledSet
from raydd.training import Recipe, TensorSource, accuracies, fit

CPU = Compute(torch.device("cpu"))
NET = "convnet-w8-d1"


def quick(distilled: DistilledSet, data: DataSplits, **changes: Any) -> Evaluation:
    settings: dict[str, Any] = {"net": NET, "epochs": 6, "repeats": 2, "device": "cpu", **changes}
    return evaluate(distilled, data, **settings)


def with_manifest(distilled: DistilledSet, **changes: Any) -> DistilledSet:
    return dataclasses.replace(distilled, manifest={**distilled.manifest, **changes})


def test_a_network_is_trained_by_the_protocol_and_tested_after_its_last_epoch(
    distilled: DistilledSet, data: DataSplits
) -> None:
    found = quick(distilled, data, seed=3)
    recipe = Recipe(epochs=7, decay_epochs=(4,), augmentation=data.augmentation)
    for i in range(2):
        net = nets.build(NET, channels=1, size=8, classes=3, generator=generator(3, "evaluation/net", i))
        source = TensorSource(distilled.images(), distilled.labels())
        fit(net, source, recipe, CPU, seed=3, purpose=f"evaluation/{i}")
        assert found.values[i] == accuracies([net], data.test, data.normalisation, CPU)[0]


def test_real_images_of_an_easy_problem_teach_most_of_it(distilled: DistilledSet, data: DataSplits) -> None:
    found = quick(distilled, data, epochs=60)
    assert found.mean > 0.8
    assert quick(distilled, data, epochs=60, split="train").mean > 0.8


def test_equal_seeds_give_equal_results_and_the_global_state_plays_no_part(
    distilled: DistilledSet, data: DataSplits
) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = quick(distilled, data)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert quick(distilled, data) == one  # `seconds` is not compared
    assert quick(distilled, data, seed=1).values != one.values


def test_a_network_does_not_depend_on_how_many_there_are(distilled: DistilledSet, data: DataSplits) -> None:
    three = quick(distilled, data, repeats=3)
    assert quick(distilled, data, repeats=1).values == three.values[:1]
    assert quick(distilled, data, repeats=2).values == three.values[:2]


def test_mean_and_spread_are_those_of_the_values(distilled: DistilledSet, data: DataSplits) -> None:
    found = quick(distilled, data, repeats=3)
    mean = sum(found.values) / 3
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.std == pytest.approx(math.sqrt(sum((v - mean) ** 2 for v in found.values) / 2), rel=1e-12)
    assert all(0.0 <= value <= 1.0 for value in found.values)
    single = quick(distilled, data, repeats=1)
    assert single.mean == single.values[0]
    assert math.isnan(single.std)


def test_steps_epochs_and_labels_are_reported(distilled: DistilledSet, data: DataSplits) -> None:
    found = quick(distilled, data, protocol="dc", split="val")
    assert (found.net, found.protocol, found.epochs, found.split) == (NET, "dc", 6, "val")
    assert found.optimisation_steps == 7  # E + 1 epochs of one batch: 12 images
    assert found.label_regime == "hard"
    assert found.seconds > 0.0
    many = dataclasses.replace(
        distilled,
        pixels=distilled.pixels.repeat_interleave(22, 0),
        targets=distilled.targets.repeat_interleave(22),
    )
    assert quick(many, data, repeats=1).optimisation_steps == 14  # 264 images are two batches


def test_the_sets_own_recipe_holds_until_it_is_overruled(distilled: DistilledSet, data: DataSplits) -> None:
    own = {**distilled.recipe, "epochs": 2}
    short = with_manifest(distilled, evaluation=own)
    found = quick(short, data, epochs=None, repeats=1)
    assert (found.protocol, found.epochs) == ("dsa", 2)
    assert quick(short, data, epochs=3, repeats=1).epochs == 3
    assert quick(short, data, protocol="dsa", epochs=None, repeats=1).epochs == 2
    other = quick(short, data, protocol="dc", epochs=None, repeats=1)  # the 2 belong to dsa
    assert (other.protocol, other.epochs) == ("dc", 300)


def test_only_an_augmenting_protocol_augments(distilled: DistilledSet, data: DataSplits) -> None:
    plain = with_manifest(distilled, evaluation={**distilled.recipe, "augmentation": ""})
    assert quick(plain, data).values == quick(distilled, data, protocol="dc").values
    assert quick(distilled, data).values != quick(distilled, data, protocol="dc").values


@pytest.mark.parametrize(("own", "cutmix"), [({}, 0.5), ({"cutmix": 0.25}, 0.25), ({"cutmix": 0.0}, 0.0)])
def test_idc_mixes_with_the_sets_own_probability_or_with_its_own(
    own: dict[str, float], cutmix: float, distilled: DistilledSet, other_test: DataSplits
) -> None:
    """Tested on noise, where small differences between networks are seen."""
    recipe = {"protocol": "idc", "net": NET, "epochs": None, "augmentation": "idc:color_crop", **own}
    mixed = with_manifest(distilled, evaluation=recipe)
    found = quick(mixed, other_test, repeats=4, epochs=40, seed=3, allow_other_data=True)
    assert (found.protocol, found.epochs, found.optimisation_steps) == ("idc", 40, 40)
    expected = Recipe(
        epochs=40,
        batch=64,
        decay_epochs=(25, 32),
        decay=0.2,
        augmentation="idc:color_crop",
        cutmix=cutmix,
        decay_resets_momentum=False,
    )
    source = TensorSource(mixed.images(), mixed.labels())
    for i in range(4):
        net = nets.build(NET, channels=1, size=8, classes=3, generator=generator(3, "evaluation/net", i))
        fit(net, source, expected, CPU, seed=3, purpose=f"evaluation/{i}")
        assert found.values[i] == accuracies([net], other_test.test, other_test.normalisation, CPU)[0]


def test_decoded_images_are_trained_on_with_their_own_labels(
    distilled: DistilledSet, data: DataSplits
) -> None:
    cells = with_manifest(distilled, decode={"kind": "cells", "factor": 2, "form": "single"})
    assert cells.labels().tolist() == [0] * 16 + [1] * 16 + [2] * 16
    many = quick(cells, data, protocol="idc", repeats=1, epochs=2)
    assert many.optimisation_steps == 2  # 48 images are one batch of 64
    net = nets.build(NET, channels=1, size=8, classes=3, generator=generator(0, "evaluation/net", 0))
    recipe = protocols.get("idc").recipe(data.augmentation, 2)
    fit(net, TensorSource(cells.images(), cells.labels()), recipe, CPU, seed=0, purpose="evaluation/0")
    assert many.values == (accuracies([net], data.test, data.normalisation, CPU)[0],)


def test_steps_choose_the_epochs_that_come_nearest(distilled: DistilledSet, data: DataSplits) -> None:
    many = dataclasses.replace(
        distilled,
        pixels=distilled.pixels.repeat_interleave(22, 0),
        targets=distilled.targets.repeat_interleave(22),
    )
    few = quick(distilled, data, epochs=None, steps=20, repeats=1)  # one batch an epoch
    assert (few.epochs, few.optimisation_steps) == (19, 20)
    assert few == quick(distilled, data, epochs=19, repeats=1)
    wide = quick(many, data, epochs=None, steps=20, repeats=1)  # 264 images are two batches of 256
    assert (wide.epochs, wide.optimisation_steps) == (9, 20)
    narrow = quick(many, data, epochs=None, steps=20, repeats=1, protocol="idc")  # and five of 64
    assert (narrow.epochs, narrow.optimisation_steps) == (4, 20)
    least = quick(many, data, epochs=None, steps=1, repeats=1)
    assert (least.epochs, least.optimisation_steps) == (1, 4)


def test_validation_does_not_read_the_test_images(
    distilled: DistilledSet, data: DataSplits, other_test: DataSplits
) -> None:
    on_val = quick(distilled, other_test, split="val", allow_other_data=True)
    assert on_val == quick(distilled, data, split="val")
    on_test = quick(distilled, other_test, allow_other_data=True, epochs=60)
    assert on_test.mean < 0.6 < quick(distilled, data, epochs=60).mean


def test_data_with_another_fingerprint_is_refused_unless_allowed(
    distilled: DistilledSet, other_test: DataSplits
) -> None:
    with pytest.raises(
        DataError, match=f"distilled from data {distilled.fingerprint[:12]}, and 'stripes' is"
    ):
        quick(distilled, other_test)
    assert len(quick(distilled, other_test, allow_other_data=True).values) == 2


def test_data_of_another_shape_is_refused_even_when_other_data_is_allowed(
    distilled: DistilledSet, data: DataSplits
) -> None:
    wide = dataclasses.replace(distilled, pixels=torch.zeros(12, 1, 16, 16))
    with pytest.raises(DataError, match=r"images \(1, 16, 16\), and 'stripes' has 3 of \(1, 8, 8\)"):
        quick(wide, data, allow_other_data=True)
    with pytest.raises(DataError, match="the set has 4 classes"):
        quick(with_manifest(distilled, classes=4), data)


def test_test_images_are_normalised_as_the_set_was(distilled: DistilledSet, data: DataSplits) -> None:
    other = dataclasses.replace(data, normalisation=dataclasses.replace(data.normalisation, mean=(0.0,)))
    assert quick(distilled, other) == quick(distilled, data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "tests"}, r"split: unknown split 'tests': did you mean 'test'\?"),
        ({"protocol": "dm"}, "evaluation.protocol: unknown protocol 'dm'"),
        ({"net": "convet"}, r"net: unknown net 'convet': did you mean 'convnet'\?"),
        ({"repeats": 0}, "evaluation.repeats: must be at least 1, got 0"),
        ({"epochs": 0}, "evaluation.epochs: must be at least 1, got 0"),
        ({"epochs": 5, "steps": 9}, r"evaluation.steps: give steps or epochs, not both \(got 9 and 5\)"),
        ({"epochs": None, "steps": 0}, "evaluation.steps: must be at least 1, got 0"),
        ({"device": "tpu"}, "device: 'tpu' is not one of auto, cpu, cuda, cuda:N"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_sentence(
    distilled: DistilledSet, data: DataSplits, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        quick(distilled, data, **changes)
    assert len(caught.value.problems) == 1
