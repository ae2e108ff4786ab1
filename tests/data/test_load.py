from __future__ import annotations

import hashlib
import json
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from raydd.config import DataConfig
from raydd.data import load, load_data
from raydd.errors import ConfigError, DataError

CIFAR = Path("~/data/cifar10-jpeg").expanduser()


def test_digits_are_split_four_to_one_twice():
    data = load_data()
    assert (data.name, data.channels, data.size, data.classes) == ("digits", 1, 8, 10)
    assert (len(data.train), len(data.val), len(data.test)) == (1150, 288, 359)
    for part, share in ((data.test, 0.2), (data.val, 0.16), (data.train, 0.64)):
        total = [data.train.count(c) + data.val.count(c) + data.test.count(c) for c in range(10)]
        assert all(abs(part.count(c) - share * total[c]) < 1.2 for c in range(10))
    assert data.augmentation == "color_crop_cutout_scale_rotate"
    assert data.split == {"val_fraction": 0.2, "test_fraction": 0.2, "split_seed": 0, "image_size": None}
    json.dumps(data.split)


def test_no_image_index_is_in_two_splits():
    data = load_data("digits")
    rows = [set(part._rows.tolist()) for part in (data.train, data.val, data.test)]
    assert len(set.union(*rows)) == 1797 == sum(map(len, rows))


def test_digits_are_normalised_by_their_train_split():
    data = load_data("digits")
    train = data.train.take(range(len(data.train))).numpy() / 255
    assert data.normalisation.mean[0] == pytest.approx(train.mean(), rel=1e-12)
    assert data.normalisation.std[0] == pytest.approx(train.std(), rel=1e-9)
    assert data.normalisation.apply(data.train.take(range(1150))).std().item() == pytest.approx(1.0, abs=1e-3)


def test_splits_depend_on_the_split_seed_only():
    first = load_data("digits")
    torch.manual_seed(99)
    second = load_data("digits")
    third = load_data("digits", split_seed=1)
    assert first.fingerprint == second.fingerprint != third.fingerprint
    assert first.test.fingerprint == load_data("digits", val_fraction=0.4).test.fingerprint
    parts = "".join(part.fingerprint for part in (first.train, first.val, first.test))
    assert first.fingerprint == hashlib.sha256(parts.encode()).hexdigest()


def test_a_config_gives_what_the_same_keywords_give_and_keywords_override_it():
    config = DataConfig(name="digits", val_fraction=0.3, test_fraction=0.1, split_seed=4, image_size=12)
    data = load_data(config)
    same = load_data("digits", val_fraction=0.3, test_fraction=0.1, split_seed=4, image_size=12)
    assert data.fingerprint == same.fingerprint
    assert data.size == 12
    assert load_data(config, split_seed=0).fingerprint != data.fingerprint
    assert load_data(DataConfig()).fingerprint == load_data().fingerprint


def test_resized_digits_keep_labels_and_brightness():
    small, large = load_data("digits"), load_data("digits", image_size=16)
    assert (large.size, large.split["image_size"]) == (16, 16)
    assert large.train.labels.tolist() == small.train.labels.tolist()
    assert large.normalisation.mean[0] == pytest.approx(small.normalisation.mean[0], abs=0.01)
    assert load_data("digits", image_size=8).fingerprint == small.fingerprint


def test_validation_is_a_tenth_from_five_thousand_images_on(pictures, monkeypatch):
    assert load.SMALL == 5000
    monkeypatch.setattr(load, "SMALL", 40)
    for name, images, fraction in (("few", 39, 0.2), ("more", 40, 0.1)):
        root = pictures({"train/a": 20, "train/b": images - 20, "test/a": 9, "test/b": 9}, name=name)
        data = load_data(str(root))
        assert data.split["val_fraction"] == fraction
        assert len(data.val) == round(fraction * images)


def test_data_survive_a_pickle():
    data = load_data("digits")
    copy = pickle.loads(pickle.dumps(data))
    assert copy.fingerprint == data.fingerprint
    assert copy.train.fingerprint == data.train.fingerprint
    assert len(copy.train_and_val().train) == 1438


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(DataError) as caught:
        load_data("cifr10")
    assert str(caught.value) == (
        "unknown dataset 'cifr10': did you mean 'cifar10'? "
        "(allowed: cifar10, cifar100, digits, fashionmnist, mnist, svhn); "
        "a folder is written with a separator, as ./cifr10"
    )


def test_wrong_arguments_are_named_together():
    with pytest.raises(ConfigError) as caught:
        load_data("digits", val_fraction=1.0, test_fraction=-0.1, image_size=3)
    assert caught.value.problems == [
        "data.val_fraction: must lie between 0 and 1, both excluded, got 1.0",
        "data.test_fraction: must lie between 0 and 1, both excluded, got -0.1",
        "data.image_size: must be a whole number from 4 to 1024, got 3",
    ]


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR.is_dir(), reason=f"the CIFAR-10 JPEG images are not in {CIFAR}")
def test_cifar10_from_its_jpeg_files():
    data = load_data(str(CIFAR))
    assert (len(data.train), len(data.val), len(data.test)) == (45_000, 5_000, 10_000)
    assert [data.val.count(class_) for class_ in range(10)] == [500] * 10
    assert np.allclose(data.normalisation.mean, (0.4914, 0.4822, 0.4465), atol=0.002)
    assert np.allclose(data.normalisation.std, (0.2470, 0.2435, 0.2616), atol=0.003)
    assert len(pickle.dumps(data)) < 40_000
    rows = (part._rows.astype("<i8").tobytes() for part in (data.train, data.val, data.test))
    assert [hashlib.sha256(part).hexdigest()[:12] for part in rows] == [
        "95e21d81f6f0",
        "20616c17533e",
        "ce9d2f664b42",
    ]
    started = time.perf_counter()
    again = load_data(str(CIFAR))
    assert time.perf_counter() - started < 0.05
    assert (again.fingerprint, again.train._store) == (data.fingerprint, data.train._store)
