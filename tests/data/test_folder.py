from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raydd.data import decode, load_data
from raydd.errors import DataError

TREE = {"cat": 6, "dog": 5}
PARTED = {"train/cat": 6, "train/dog": 5, "test/cat": 2, "test/dog": 3}


def stamps(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).transpose(2, 0, 1)


def test_train_and_test_are_used_as_they_are(pictures):
    root = pictures(PARTED)
    data = load_data(str(root))
    assert (data.name, data.class_names) == ("pets", ("cat", "dog"))
    assert (data.channels, data.size, data.classes) == (3, 8, 2)
    assert (len(data.train), len(data.val), len(data.test)) == (9, 2, 5)
    assert data.test.labels.tolist() == [0, 0, 1, 1, 1]
    assert np.array_equal(data.test.take([1]).numpy()[0], pixels_of(root / "test/cat/001.png"))
    assert data.split == {"val_fraction": 0.2, "test_fraction": None, "split_seed": 0, "image_size": None}


def test_val_is_used_as_it_is(pictures):
    root = pictures({**PARTED, "val/cat": 1, "val/dog": 2})
    data = load_data(str(root))
    assert (len(data.train), len(data.val), len(data.test)) == (11, 3, 5)
    assert np.array_equal(data.val.take([2]).numpy()[0], pixels_of(root / "val/dog/001.png"))
    assert data.split["val_fraction"] is None
    joined = data.train_and_val().train
    assert joined.labels.tolist() == [0] * 6 + [1] * 5 + [0, 1, 1]


def test_a_train_folder_without_test_gives_some_of_its_images(pictures):
    data = load_data(str(pictures({"train/cat": 10, "train/dog": 10})))
    assert (len(data.train), len(data.val), len(data.test)) == (13, 3, 4)
    assert data.split["test_fraction"] == 0.2


def test_one_tree_is_split_by_seed(pictures):
    root = pictures({"cat": 20, "dog": 10})
    data = load_data(str(root), test_fraction=0.5, val_fraction=0.3)
    assert [data.test.count(0), data.test.count(1)] == [10, 5]
    assert [data.val.count(0), data.val.count(1)] == [3, 1]
    everything = sorted(
        bytes(image)
        for part in (data.train, data.val, data.test)
        for image in part.take(range(len(part))).numpy()
    )
    assert everything == sorted(bytes(pixels_of(path).copy()) for path in root.rglob("*.png"))
    other = load_data(str(root), test_fraction=0.5, val_fraction=0.3, split_seed=1)
    assert other.fingerprint != data.fingerprint
    assert load_data(str(root), test_fraction=0.5, val_fraction=0.3).fingerprint == data.fingerprint


def test_a_class_may_be_called_train(pictures):
    data = load_data(str(pictures({"bus": 5, "train": 5})))
    assert data.class_names == ("bus", "train")


def test_images_may_lie_deeper_and_other_files_are_passed_over(pictures):
    root = pictures({"cat/images": 4, "dog/a/b": 4})
    (root / "cat" / "boxes.txt").write_text("not an image")
    (root / "cat" / ".hidden.png").write_text("not an image")
    (root / ".git").mkdir()
    (root / "__MACOSX").mkdir()
    (root / "dog" / "README").write_text("not an image")
    data = load_data(str(root))
    assert len(data.train) + len(data.val) + len(data.test) == 8


def test_all_grey_images_give_one_channel_and_one_coloured_image_gives_three(pictures):
    root = pictures(TREE, mode="L")
    assert load_data(str(root)).channels == 1
    Image.new("RGB", (8, 8), (200, 10, 10)).save(root / "dog" / "last.png")
    data = load_data(str(root))
    assert (data.channels, len(data.normalisation.mean)) == (3, 3)


def test_images_of_any_size_are_brought_to_one(pictures):
    root = pictures(TREE, size=(20, 12))
    Image.new("RGB", (7, 30)).save(root / "dog" / "tall.jpg")
    data = load_data(str(root), image_size=10)
    assert (data.size, data.split["image_size"]) == (10, 10)


def test_normalisation_comes_from_train_alone(pictures):
    root = pictures(PARTED)
    before = load_data(str(root)).normalisation
    for path in (root / "test").rglob("*.png"):
        Image.new("RGB", (8, 8)).save(path)
    data = load_data(str(root))
    assert data.normalisation == before
    train = data.train.take(range(len(data.train))).numpy() / 255
    assert before.mean == pytest.approx(train.mean((0, 2, 3)))
    assert before.std == pytest.approx(train.std((0, 2, 3)))


def test_a_constant_channel_does_not_divide_by_zero(pictures):
    root = pictures(TREE)
    for path in root.rglob("*.png"):
        pixels = np.asarray(Image.open(path)).copy()
        pixels[..., 2] = 9
        Image.fromarray(pixels).save(path)
    assert load_data(str(root)).normalisation.std[2] == 1 / 255


def test_images_are_decoded_once_and_the_users_folder_is_left_alone(pictures, cache, monkeypatch):
    root = pictures(PARTED)
    before = stamps(root)
    first = load_data(str(root))
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [first.train._store.path.name]
    assert stamps(root) == before

    def refuse(*_: object) -> None:
        raise AssertionError("decoded twice")

    monkeypatch.setattr(decode, "_decode", refuse)
    assert load_data(str(root)).fingerprint == first.fingerprint
    assert len(load_data(str(root), val_fraction=0.4, split_seed=3).val) == 4


@pytest.mark.parametrize("change", ["content", "added", "removed", "size"])
def test_a_changed_folder_is_decoded_again(pictures, change):
    root = pictures(PARTED)
    before = load_data(str(root)).fingerprint
    victim = root / "train" / "cat" / "000.png"
    if change == "content":
        Image.new("RGB", (8, 8), (1, 2, 3)).save(victim)
    elif change == "added":
        Image.new("RGB", (8, 8), (1, 2, 3)).save(victim.with_name("new.png"))
    elif change == "removed":
        victim.unlink()
    assert load_data(str(root), image_size=6 if change == "size" else None).fingerprint != before


def test_the_same_images_elsewhere_have_the_same_fingerprint(pictures, tmp_path):
    root = pictures(TREE)
    shutil.copytree(root, tmp_path / "copy" / "cats-and-dogs")
    there = load_data(str(tmp_path / "copy" / "cats-and-dogs"))
    assert there.fingerprint == load_data(str(root)).fingerprint
    assert there.name == "cats-and-dogs"


def test_several_processes_decode_what_one_does(pictures, monkeypatch, cache):
    root = pictures({"cat": 30, "dog": 31}, size=(12, 9))
    alone = load_data(str(root), image_size=8)
    shutil.rmtree(cache)
    monkeypatch.setattr(decode, "PER_PROCESS", 25)
    monkeypatch.setattr(decode.devices, "available_cpus", lambda: 2)
    together = load_data(str(root), image_size=8)
    assert together.fingerprint == alone.fingerprint
    assert together.train.statistics() == alone.train.statistics()


def test_several_processes_report_errors_and_colour_as_one_does(pictures, monkeypatch, cache):
    root = pictures({"cat": 30, "dog": 31}, mode="L")
    monkeypatch.setattr(decode, "PER_PROCESS", 25)
    monkeypatch.setattr(decode.devices, "available_cpus", lambda: 2)
    Image.new("RGB", (8, 8), (200, 10, 10)).save(root / "dog" / "030.png")
    assert load_data(str(root)).channels == 3
    (root / "dog" / "030.png").write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"cannot read the image .*dog/030.png: unknown format"):
        load_data(str(root))
    monkeypatch.setattr(decode.sys, "executable", "/bin/false")
    (root / "dog" / "030.png").unlink()
    with pytest.raises(DataError, match="a decoding process ended early: exit status 1"):
        load_data(str(root))


def test_a_failed_decoding_leaves_nothing_behind(pictures, cache):
    root = pictures(PARTED)
    (root / "train" / "dog" / "004.png").write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"cannot read the image .*train/dog/004.png: unknown format"):
        load_data(str(root))
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_a_cache_that_cannot_be_written_is_named(pictures, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RAYDD_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot write decoded images to .*file/decoded \(Not a directory\)"):
        load_data(str(pictures(TREE)))


def test_missing_folders_and_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        load_data(str(tmp_path / "nowhere"))
    (tmp_path / "file.zip").write_text("x")
    with pytest.raises(DataError, match=r"file.zip is a file: --data takes a folder"):
        load_data(str(tmp_path / "file.zip"))


def test_an_unreadable_folder_is_named(pictures, tmp_path):
    root = pictures(TREE)
    if os.geteuid() == 0:  # root reads everything, a link that leads to itself excepted
        (root / "dog" / "loop.png").symlink_to("loop.png")
        reason = "Too many levels of symbolic links"
    else:
        (root / "dog").chmod(0)
        reason = "Permission denied"
    try:
        with pytest.raises(DataError, match=rf"cannot read .*dog.*: {reason}"):
            load_data(str(root))
    finally:
        (root / "dog").chmod(0o755)


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ({}, "pets holds no class folders: expected one folder of images a class, or train/ and test/"),
        ({"cat": 5}, r"pets holds only one class folder \('cat'\)"),
        ({"cat": 5, "dog": 0}, r"class 'dog' has no images in .*pets/dog"),
        ({**PARTED, "test/dog": 0}, r"class 'dog' has no images in .*test/dog"),
        (
            {"train/cat": 5, "train/dog": 5, "test/cat": 2},
            r"class 'dog' is in .*train but missing from .*test",
        ),
        ({**PARTED, "test/fox": 2}, r"class 'fox' is in .*test but missing from .*train"),
        ({**PARTED, "val/cat": 2}, r"class 'dog' is in .*train but missing from .*val"),
        ({"cat": 5, "dog": 2}, "class 'dog' has too few images to set some aside for validation: 1 left"),
    ],
)
def test_a_wrong_layout_is_named(pictures, tmp_path, counts, sentence):
    (tmp_path / "pets").mkdir()
    with pytest.raises(DataError, match=sentence):
        load_data(str(pictures(counts)))


def test_sizes_that_need_a_decision_are_named(pictures):
    with pytest.raises(DataError, match=r"not square \(20x12 in .*cat/000.png\): .* --image-size"):
        load_data(str(pictures(TREE, size=(20, 12), name="wide")))
    with pytest.raises(DataError, match=r"the images are 2x2 pixels, outside 4..1024: .* --image-size"):
        load_data(str(pictures(TREE, size=(2, 2), name="tiny")))
    mixed = pictures(TREE, name="mixed")
    Image.new("RGB", (9, 9)).save(mixed / "dog" / "last.png")
    with pytest.raises(DataError, match=r"differ in size \(8x8 at first, 9x9 in .*dog/last.png\)"):
        load_data(str(mixed))
