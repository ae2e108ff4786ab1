from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raydd.data import DataSplits, folder, index, load_data
from raydd.errors import DataError

PARTED = {"train/cat": 6, "train/dog/young/small": 5, "test/cat": 3, "test/dog": 4}


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every folder that is listed, in order; what was changed 50 ms ago counts as settled."""
    seen: list[Path] = []
    scan = folder.scan

    def noted(path: Path) -> index.Listing:
        seen.append(path)
        return scan(path)

    monkeypatch.setattr(folder, "scan", noted)
    monkeypatch.setattr(index, "SETTLED", 50_000_000)
    return seen


@pytest.fixture
def settled(pictures: Callable[..., Path], listings: list[Path]) -> Callable[..., Path]:
    """Write pictures, wait until they count as settled, and load them once."""

    def write(counts: dict[str, int], **options: object) -> Path:
        root = pictures(counts, **options)
        time.sleep(0.1)
        load_data(str(root))
        assert listings == [root]
        return root

    return write


def paint(path: Path, colour: tuple[int, int, int] = (1, 2, 3)) -> None:
    """A new image in a file of its own, or in place of the content of an old one."""
    Image.new("RGB", (8, 8), colour).save(path)


def loaded_anew(root: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> DataSplits:
    """What a machine that has never seen the folder loads."""
    with monkeypatch.context() as patch:
        patch.setenv("RAYDD_CACHE", str(root.parent / "another"))
        return load_data(str(root), **options)


def rows(data: DataSplits) -> list[list[int]]:
    return [part._rows.tolist() for part in (data.train, data.val, data.test)]


def test_an_unchanged_folder_is_opened_without_a_listing(settled, listings, monkeypatch):
    root = settled(PARTED)
    quick = load_data(str(root))
    assert len(listings) == 1
    full = loaded_anew(root, monkeypatch)
    assert len(listings) == 2
    assert (quick.fingerprint, quick.class_names, quick.split) == (
        full.fingerprint,
        full.class_names,
        full.split,
    )
    assert rows(quick) == rows(full)


def test_fingerprints_and_splits_are_what_they_were_before_there_was_an_index(tmp_path, listings):
    for place, (name, count) in enumerate({"cat": 20, "dog": 10}.items()):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(count):
            pixels = (np.arange(192) * (place + 1) + number * 37) % 251
            image = Image.fromarray(pixels.reshape(8, 8, 3).astype(np.uint8))
            image.save(tmp_path / "pets" / name / f"{number:03d}.png")
    time.sleep(0.1)
    for verify in (False, False, True):
        data = load_data(str(tmp_path / "pets"), verify=verify)
        assert data.fingerprint == "f8e9a633bbb0b061b5f9dc73a8ce809817b038bb62094e8ecb6dd4c66d215255"
        assert rows(data) == [
            [3, 5, 6, 7, 8, 9, 11, 13, 14, 15, 16, 17, 19, 20, 21, 22, 25, 26, 27],
            [4, 12, 18, 24, 29],
            [0, 1, 2, 10, 23, 28],
        ]
    assert len(listings) == 2
    for verify in (False, True):
        digits = load_data("digits", verify=verify).fingerprint
        assert digits == "6877eac263f2412f91a4418404fe0ed2429c1c52856043b8b93f73870db29b29"


def add(root: Path) -> None:
    paint(root / "test" / "dog" / "new.png")


def add_and_set_the_clock_back(root: Path) -> None:
    """As rsync and unpackers do."""
    target = root / "train" / "cat"
    before = target.stat()
    add_to = target / "new.png"
    paint(add_to)
    os.utime(add_to, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))


def add_a_part(root: Path) -> None:
    shutil.copytree(root / "test", root / "val")


def remove(root: Path) -> None:
    (root / "train" / "cat" / "003.png").unlink()


def rename(root: Path) -> None:
    (root / "train" / "cat" / "000.png").rename(root / "train" / "cat" / "zzz.png")


def replace(root: Path) -> None:
    paint(root / "other.png")
    (root / "other.png").replace(root / "train" / "cat" / "003.png")


def rewrite(root: Path) -> None:
    paint(root / "train" / "cat" / "005.png")


def rename_a_class(root: Path) -> None:
    for part in ("train", "test"):
        (root / part / "cat").rename(root / part / "lynx")


def add_deep_below(root: Path) -> None:
    paint(root / "train" / "dog" / "young" / "small" / "new.png")


def remove_deep_below(root: Path) -> None:
    (root / "train" / "dog" / "young" / "small" / "002.png").unlink()


def add_a_folder_deep_below(root: Path) -> None:
    (root / "train" / "dog" / "young" / "large").mkdir()
    paint(root / "train" / "dog" / "young" / "large" / "new.png")


@pytest.mark.parametrize(
    "change",
    [
        add,
        add_and_set_the_clock_back,
        add_a_part,
        remove,
        rename,
        replace,
        rewrite,
        rename_a_class,
        add_deep_below,
        remove_deep_below,
        add_a_folder_deep_below,
    ],
)
def test_a_change_is_noticed(settled, listings, monkeypatch, change):
    monkeypatch.setattr(index, "SAMPLE", 8)  # of every class folder the first and the last
    root = settled(PARTED)
    before = load_data(str(root))
    assert len(listings) == 1
    change(root)
    after = load_data(str(root))
    assert len(listings) == 2
    expected = loaded_anew(root, monkeypatch)
    assert (after.fingerprint, after.class_names) == (expected.fingerprint, expected.class_names)
    assert (after.fingerprint, after.class_names) != (before.fingerprint, before.class_names)
    listings.clear()
    time.sleep(0.1)
    for _ in range(3):
        assert load_data(str(root)).fingerprint == after.fingerprint
    assert len(listings) <= 1  # none where more than 50 ms had passed already


def test_a_folder_that_was_empty_at_first_is_watched_too(settled, listings, pictures):
    pictures({"train/cat/later": 0})
    root = settled(PARTED)
    paint(root / "train" / "cat" / "later" / "new.png")
    data = load_data(str(root))
    assert (len(data.train) + len(data.val), len(listings)) == (12, 2)


def test_only_verify_notices_that_a_file_outside_the_sample_was_overwritten(settled, listings, monkeypatch):
    monkeypatch.setattr(index, "SAMPLE", 8)
    root = settled(PARTED)
    before = load_data(str(root)).fingerprint
    paint(root / "train" / "cat" / "003.png")
    time.sleep(0.1)
    assert load_data(str(root)).fingerprint == before
    assert len(listings) == 1
    after = load_data(str(root), verify=True).fingerprint
    assert after == loaded_anew(root, monkeypatch).fingerprint != before
    listings.clear()
    assert load_data(str(root)).fingerprint == after
    assert listings == []


def test_what_verify_finds_damaged_is_not_opened_afterwards(settled, monkeypatch):
    monkeypatch.setattr(index, "SAMPLE", 8)
    root = settled(PARTED)
    (root / "train" / "cat" / "003.png").write_bytes(b"garbage")
    for verify in (True, False):
        with pytest.raises(DataError, match=r"cannot read the image .*train/cat/003.png"):
            load_data(str(root), verify=verify)


def test_each_image_size_has_an_index_of_its_own(settled, listings, cache):
    root = settled(PARTED)
    assert load_data(str(root), image_size=6).size == 6
    assert len(listings) == 2
    assert [load_data(str(root), image_size=size).size for size in (6, None)] == [6, 8]
    assert len(listings) == 2
    assert len(list(cache.glob("*.index.npz"))) == 2


def test_other_splits_and_other_ways_to_a_folder_share_its_index(settled, listings, tmp_path):
    root = settled(PARTED)
    (tmp_path / "link").symlink_to(root)
    data = load_data(str(tmp_path / "link"), val_fraction=0.4, split_seed=3)
    assert (data.name, len(data.val), len(listings)) == ("link", 4, 1)


def test_a_damaged_index_is_passed_over_and_written_anew(settled, listings, cache):
    root = settled(PARTED)
    before = load_data(str(root)).fingerprint
    (path,) = cache.glob("*.index.npz")
    whole = path.read_bytes()
    np.save(cache / "other.npy", np.arange(3))
    for count, content in enumerate(
        [b"", b"garbage", whole[:-30], whole[:200], (cache / "other.npy").read_bytes()], start=2
    ):
        path.write_bytes(content)
        for _ in range(2):
            assert load_data(str(root)).fingerprint == before
        assert len(listings) == count
    path.unlink()
    assert load_data(str(root)).fingerprint == before
    assert len(listings) == 7


def test_no_flipped_byte_leads_to_an_error_or_to_another_store(settled, cache):
    root = settled(PARTED)
    (path,) = cache.glob("*.index.npz")
    whole = path.read_bytes()
    store = index.recall(path, root)
    assert store is not None
    found = []
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        found.append(index.recall(path, root))
    assert set(found) <= {None, store}
    assert found.count(None) > len(found) / 2


def test_a_folder_that_changed_within_two_seconds_is_not_remembered(pictures, cache):
    root = pictures(PARTED)
    load_data(str(root))
    assert list(cache.glob("*.index.npz")) == []
    time.sleep(2.1)
    load_data(str(root))
    assert len(list(cache.glob("*.index.npz"))) == 1


def test_an_image_that_is_still_being_written_keeps_its_folder_listed(settled, listings, cache, monkeypatch):
    monkeypatch.setattr(index, "SAMPLE", 8)
    root = settled(PARTED)
    image, now = root / "train" / "cat" / "003.png", time.time_ns() + 10**12
    paint(image, (1, 1, 1))
    os.utime(image, ns=(now, now))  # a time that no listing in this test comes after
    first = load_data(str(root), verify=True).fingerprint
    assert list(cache.glob("*.index.npz")) == []
    paint(image, (2, 2, 2))
    os.utime(image, ns=(now + 1, now + 1))
    assert load_data(str(root)).fingerprint != first
    assert len(listings) == 3


def test_a_store_that_was_deleted_is_decoded_again(settled, listings, cache):
    root = settled(PARTED)
    data = load_data(str(root))
    shutil.rmtree(data.train._store.path)
    assert load_data(str(root)).fingerprint == data.fingerprint
    assert len(listings) == 2


def test_a_cache_that_is_read_only_by_now_costs_a_listing_and_nothing_else(settled, listings, cache):
    root = settled(PARTED)
    before = load_data(str(root)).fingerprint
    assert len(listings) == 1
    next(cache.glob("*.index.npz")).unlink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    cache.chmod(0o555)
    try:
        # Modes do not stop root; that no file may grow beyond 0 bytes does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        for count in (2, 3):
            assert load_data(str(root)).fingerprint == before
            assert len(listings) == count
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        cache.chmod(0o755)
    assert [path for path in cache.iterdir() if path.suffix == ".npz"] == []


def test_an_index_that_can_neither_be_read_nor_replaced_is_passed_over(settled, listings, cache):
    root = settled(PARTED)
    before = load_data(str(root)).fingerprint
    (path,) = cache.glob("*.index.npz")
    path.unlink()
    path.mkdir()  # which stops root as well
    (path / "file").write_text("in the way")
    for count in (2, 3):
        assert load_data(str(root)).fingerprint == before
        assert len(listings) == count


def test_the_sample_lies_evenly_over_all_classes_and_has_every_first_and_last_file():
    parts = {"train": 1000, "test": 30}
    listing = index.Listing(
        begun=0,
        roots={part: Path("/data") / part for part in parts},
        files={
            part: {name: [(f"{i:04d}.png", i, 2 * i) for i in range(count)] for name in "abcdefgh"}
            for part, count in parts.items()
        },
        directories={},
    )
    sample = list(index._sample(Path("/data"), listing))
    assert len(sample) == len(set(sample)) == 8 * 32 + 8 * 30
    for name in "abcdefgh":
        taken = [size for path, size, _ in sample if path.startswith(f"train/{name}/")]
        assert (taken[0], taken[-1]) == (0, 999)
        assert set(np.diff(taken)) == {32, 33}
        assert [size for path, size, _ in sample if path.startswith(f"test/{name}/")] == list(range(30))
    assert sample[1] == ("train/a/0032.png", 32, 64)
