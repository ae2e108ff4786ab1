from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from raydd.data import ArrayImages, MappedImages
from raydd.data.decode import write_arrays
from raydd.errors import DataError
from raydd.seeding import generator

LABELS = np.array([0, 1, 0, 2, 1, 0, 0, 2, 0, 1])


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (10, 3, 4, 4), dtype=np.uint8)


@pytest.fixture(params=["array", "mapped"])
def images(request: pytest.FixtureRequest, pixels: np.ndarray, tmp_path: Path) -> ArrayImages | MappedImages:
    if request.param == "array":
        return ArrayImages(pixels, LABELS)
    return mapped(tmp_path, pixels)


def mapped(tmp_path: Path, pixels: np.ndarray, labels: np.ndarray = LABELS) -> MappedImages:
    (tmp_path / "store").mkdir()
    write_arrays(tmp_path / "store", {"train": (pixels, labels)}, ["a", "b", "c"])
    return MappedImages(tmp_path / "store")


def test_the_facts_of_a_split(images):
    assert (images.channels, images.size, images.classes, len(images)) == (3, 4, 3, 10)
    assert [images.count(class_) for class_ in range(3)] == [5, 3, 2]
    assert images.labels.dtype == np.int64
    assert images.labels.tolist() == LABELS.tolist()


def test_sample_draws_distinct_images_of_the_class(images, pixels):
    drawn = images.sample(0, 3, generator(0, "real", 4, 0))
    assert (drawn.dtype, drawn.shape) == (torch.uint8, (3, 3, 4, 4))
    found = [next(i for i in range(10) if np.array_equal(pixels[i], image)) for image in drawn.numpy()]
    assert len(set(found)) == 3
    assert set(LABELS[found]) == {0}


def test_sample_of_all_is_a_permutation_and_of_more_is_cut(images, pixels):
    drawn = images.sample(1, 256, generator(3, "real")).numpy()
    assert len(drawn) == 3
    assert sorted(map(bytes, drawn)) == sorted(bytes(pixels[i]) for i in (1, 4, 9))


def test_a_smaller_sample_is_the_beginning_of_a_larger_one(images):
    few, many = (images.sample(0, n, generator(5, "real")) for n in (2, 5))
    assert torch.equal(few, many[:2])


def test_sample_of_a_class_without_images_is_empty(pixels):
    images = ArrayImages(pixels, LABELS, classes=4)
    assert images.sample(3, 5, generator(0, "real")).shape == (0, 3, 4, 4)


def test_every_member_is_drawn_first_equally_often(images, pixels):
    firsts = [bytes(images.sample(0, 1, generator(0, "real", draw))[0].numpy()) for draw in range(1000)]
    counts = [firsts.count(bytes(pixels[i])) for i in np.flatnonzero(LABELS == 0)]
    assert sum(counts) == 1000
    assert all(150 < count < 250 for count in counts)  # 200 expected, sd 12.6


def test_backends_agree_on_samples_fingerprint_and_statistics(pixels, tmp_path):
    array, map_ = ArrayImages(pixels, LABELS), mapped(tmp_path, pixels)
    for class_ in range(3):
        for iteration in range(5):
            address = (11, "real", iteration, class_)
            assert torch.equal(
                array.sample(class_, 2, generator(*address)), map_.sample(class_, 2, generator(*address))
            )
    assert array.fingerprint == map_.fingerprint
    assert array.statistics() == map_.statistics()
    some = [1, 2, 5]
    assert array.subset(some).fingerprint == map_.subset(some).fingerprint


def test_take_keeps_the_order_asked_for_and_gives_a_copy(images, pixels):
    for indices in ([7, 0, 7], np.array([7, 0, 7]), torch.tensor([7, 0, 7])):
        taken = images.take(indices)
        assert np.array_equal(taken.numpy(), pixels[[7, 0, 7]])
    taken.zero_()
    assert np.array_equal(images.take([7]).numpy(), pixels[[7]])


def test_iterate_gives_everything_in_order(images, pixels):
    batches = list(images.iterate(4))
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    assert np.array_equal(torch.cat([x for x, _ in batches]).numpy(), pixels)
    assert torch.cat([y for _, y in batches]).tolist() == LABELS.tolist()
    assert batches[0][1].dtype == torch.int64


def test_statistics_are_the_mean_and_the_population_deviation(images, pixels):
    mean, std = images.statistics()
    unit = pixels.astype(np.float64) / 255
    for channel in range(3):
        values = [unit[n, channel, h, w] for n in range(10) for h in range(4) for w in range(4)]
        centre = sum(values) / len(values)
        assert mean[channel] == pytest.approx(centre, rel=1e-12)
        assert std[channel] == pytest.approx((sum((v - centre) ** 2 for v in values) / 160) ** 0.5, rel=1e-12)


def test_statistics_of_several_blocks_and_of_a_subset():
    pixels = np.random.default_rng(2).integers(0, 256, (600, 1, 96, 96), dtype=np.uint8)
    images = ArrayImages(pixels, np.zeros(600, int))
    chosen = np.arange(0, 600, 7)
    mean, std = images.subset(chosen).statistics()
    assert mean[0] == pytest.approx(pixels[chosen].mean() / 255, rel=1e-12)
    assert std[0] == pytest.approx(pixels[chosen].std() / 255, rel=1e-9)


def test_statistics_of_nothing_are_refused(images):
    with pytest.raises(DataError, match="an empty set of images has no mean"):
        images.subset([]).statistics()


def test_a_subset_has_its_own_classes_counts_and_rows(images, pixels):
    subset = images.subset([9, 3, 4]).subset([2, 0])
    assert np.array_equal(subset.take([0, 1]).numpy(), pixels[[4, 9]])
    assert subset.labels.tolist() == [1, 1]
    assert (subset.classes, subset.count(0), subset.count(1)) == (3, 0, 2)


@pytest.mark.parametrize("change", ["pixel", "label", "order", "classes"])
def test_the_fingerprint_sees_every_change(pixels, change):
    before = ArrayImages(pixels, LABELS).fingerprint
    assert before == ArrayImages(pixels.copy(), LABELS.tolist()).fingerprint
    assert len(before) == 64
    altered, labels, classes = pixels.copy(), LABELS.copy(), 3
    if change == "pixel":
        altered[9, 2, 3, 3] ^= 1
    elif change == "label":
        labels[0] = 2
    elif change == "order":
        altered, labels = altered[::-1].copy(), labels[::-1].copy()
    else:
        classes = 4
    assert ArrayImages(altered, labels, classes=classes).fingerprint != before


def test_joining_parts_of_one_store_gives_its_order_back(images, pixels):
    odd, even = images.subset([1, 3, 5]), images.subset([0, 2])
    joined = odd.join(even)
    assert np.array_equal(joined.take(range(5)).numpy(), pixels[[0, 1, 2, 3, 5]])
    assert joined.labels.tolist() == LABELS[[0, 1, 2, 3, 5]].tolist()


def test_joining_images_of_two_stores_copies_them_in_turn(images, pixels):
    other = ArrayImages(255 - pixels[:4], LABELS[:4])
    joined = images.subset([5]).join(other)
    assert np.array_equal(joined.take([0, 1]).numpy(), np.stack([pixels[5], 255 - pixels[0]]))
    assert joined.labels.tolist() == [0, 0, 1, 0, 2]


def test_images_of_different_shape_are_not_joined(images):
    other = ArrayImages(np.zeros((2, 3, 8, 8), np.uint8), [0, 2])
    with pytest.raises(DataError, match=r"\(3, 4, 3\) with images of \(3, 8, 3\)"):
        images.join(other)


def test_pickling_keeps_the_images(images):
    subset = images.subset([1, 4, 6])
    copy = pickle.loads(pickle.dumps(subset))
    assert torch.equal(copy.take([0, 1, 2]), subset.take([0, 1, 2]))
    assert copy.fingerprint == subset.fingerprint
    unsorted = images.subset([6, 1, 1])
    assert torch.equal(pickle.loads(pickle.dumps(unsorted)).take([0, 1, 2]), unsorted.take([0, 1, 2]))


def test_mapped_images_are_pickled_as_a_path_and_a_bit_a_row(tmp_path):
    pixels = np.zeros((20_000, 1, 8, 8), np.uint8)  # 1.28 MB
    images = mapped(tmp_path, pixels, np.arange(20_000) % 3)
    assert len(pickle.dumps(images.subset(np.arange(0, 20_000, 2)))) < 3_000


def test_two_array_splits_share_their_pixels_in_one_pickle(pixels):
    big = ArrayImages(np.repeat(pixels, 200, axis=0), np.repeat(LABELS, 200))
    one, two = (len(pickle.dumps(value)) for value in (big, [big.subset([0, 1]), big.subset([2, 5])]))
    assert two < 1.1 * one


@pytest.mark.parametrize(
    ("pixels", "labels", "sentence"),
    [
        (np.zeros((2, 3, 4, 4)), [0, 1], r"pixels must be uint8 of shape \(N, C, S, S\), got float64"),
        (np.zeros((2, 3, 4, 5), np.uint8), [0, 1], r"got uint8 \(2, 3, 4, 5\)"),
        (np.zeros((2, 2, 4, 4), np.uint8), [0, 1], "images must have 1 or 3 channels, got 2"),
        (np.zeros((2, 3, 4, 4), np.uint8), [0], r"2 images need as many labels, got shape \(1,\)"),
        (np.zeros((2, 3, 4, 4), np.uint8), [0, -1], r"labels must lie in 0..0, got -1..0"),
    ],
)
def test_wrong_arrays_are_refused(pixels, labels, sentence):
    with pytest.raises(DataError, match=sentence):
        ArrayImages(pixels, labels)


def test_a_missing_store_and_a_damaged_one_are_told_apart(pixels, tmp_path):
    with pytest.raises(DataError, match=r"the decoded images in .*nowhere are gone: load the data again"):
        MappedImages(tmp_path / "nowhere")
    mapped(tmp_path, pixels)
    (tmp_path / "store" / "pixels.npy").write_bytes(b"not an array")
    with pytest.raises(DataError, match=r"store are damaged \(.*\): delete that folder and try again"):
        MappedImages(tmp_path / "store")
