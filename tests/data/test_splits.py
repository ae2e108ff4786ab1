from __future__ import annotations

import numpy as np
import pytest
import torch

from raydd.data import ArrayImages, load_data
from raydd.data.splits import set_aside
from raydd.errors import DataError

NAMES = ("a", "b", "c")


def numbered(labels: np.ndarray) -> ArrayImages:
    """Images whose pixels spell their index."""
    index = np.arange(len(labels), dtype=np.uint16)
    pixels = np.zeros((len(labels), 1, 4, 4), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = index & 255, index >> 8
    return ArrayImages(pixels, labels)


def indices(images) -> list[int]:
    corner = images.take(range(len(images))).numpy().astype(int)[:, 0, 0]
    return (corner[:, 0] + 256 * corner[:, 1]).tolist()


LABELS = np.repeat([0, 1, 2], [100, 50, 7])


def test_a_split_is_stratified_disjoint_and_complete():
    kept, aside = set_aside(numbered(LABELS), 0.2, 0, "validation", NAMES)
    assert [aside.count(class_) for class_ in range(3)] == [20, 10, 1]
    assert [kept.count(class_) for class_ in range(3)] == [80, 40, 6]
    assert sorted(indices(kept) + indices(aside)) == list(range(157))
    assert indices(kept) == sorted(indices(kept))


def test_many_small_classes_still_give_the_fraction():
    labels = np.repeat(np.arange(40), 15)
    kept, aside = set_aside(numbered(labels), 0.1, 0, "validation", [str(i) for i in range(40)])
    assert (len(kept), len(aside)) == (540, 60)
    assert {aside.count(class_) for class_ in range(40)} == {1, 2}


def test_every_class_keeps_an_image_on_both_sides():
    labels = np.repeat([0, 1, 2], 2)
    for fraction in (0.01, 0.99):
        kept, aside = set_aside(numbered(labels), fraction, 0, "test", NAMES)
        assert [kept.count(class_) for class_ in range(3)] == [1, 1, 1]
        assert [aside.count(class_) for class_ in range(3)] == [1, 1, 1]


def test_a_class_with_one_image_is_refused():
    with pytest.raises(DataError, match="class 'c' has too few images to set some aside for test: 1 left"):
        set_aside(numbered(np.array([0, 0, 1, 1, 2])), 0.5, 0, "test", NAMES)


def test_the_split_depends_on_seed_and_purpose_and_on_nothing_else():
    data = numbered(LABELS)
    first = indices(set_aside(data, 0.2, 0, "validation", NAMES)[1])
    torch.manual_seed(123)
    np.random.default_rng(5).random()
    assert indices(set_aside(data, 0.2, 0, "validation", NAMES)[1]) == first
    assert indices(set_aside(data, 0.2, 1, "validation", NAMES)[1]) != first
    assert indices(set_aside(data, 0.2, 0, "test", NAMES)[1]) != first


def test_a_larger_fraction_holds_the_smaller_one():
    data = numbered(LABELS)
    small, large = (set(indices(set_aside(data, f, 0, "validation", NAMES)[1])) for f in (0.1, 0.3))
    assert small < large


def test_train_and_val_joins_both_and_keeps_the_rest():
    data = load_data("digits")
    joined = data.train_and_val()
    assert len(joined.train) == len(data.train) + len(data.val) == 1438
    assert joined.train.labels.sum() == data.train.labels.sum() + data.val.labels.sum()
    assert joined.val.fingerprint == data.val.fingerprint
    assert joined.test.fingerprint == data.test.fingerprint
    assert joined.fingerprint == data.fingerprint
    assert joined.normalisation == data.normalisation


def test_the_validation_line_gives_size_and_standard_error():
    assert load_data("digits").describe_validation() == (
        "validation: 288 images of 10 classes; one accuracy has a standard error of about 2.9 points at 50 %"
    )
