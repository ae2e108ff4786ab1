from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from raydd import vision
from raydd.data import cifar, load_data
from raydd.errors import DataError

PER_BATCH = 20


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def batch(seed: int) -> dict[str, object]:
    """One batch as the archive holds it: rows of 1024 red, 1024 green, 1024 blue values, labels as a list."""
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8)
    return {"data": data, "labels": [i % 10 for i in range(PER_BATCH)], "batch_label": f"batch {seed}"}


@pytest.fixture
def archive(tmp_path: Path) -> tuple[type, Path]:
    """A small archive in CIFAR-10's format, in its place, and the reader that expects its checksums."""
    official = vision.datasets().CIFAR10
    members = {
        name: pickle.dumps(batch(seed), protocol=2) for seed, (name, _) in enumerate(official.train_list)
    }
    members["test_batch"] = pickle.dumps(batch(5), protocol=2)
    members["batches.meta"] = pickle.dumps({"label_names": list(cifar.NAMES)}, protocol=2)
    root = tmp_path / "downloads"
    root.mkdir()
    path = root / official.filename
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"{official.base_folder}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))

    class Small(official):
        url = "http://127.0.0.1:9/cifar-10-python.tar.gz"  # nothing listens on the discard port
        tgz_md5 = md5(path.read_bytes())
        train_list = [[name, md5(members[name])] for name, _ in official.train_list]  # noqa: RUF012
        test_list = [["test_batch", md5(members["test_batch"])]]  # noqa: RUF012
        meta = {**official.meta, "md5": md5(members["batches.meta"])}  # noqa: RUF012

    return Small, root


def test_the_archive_is_unpacked_and_read(archive):
    reader, root = archive
    pixels, labels = cifar.fetch(reader, root, "train")
    assert (pixels.shape, pixels.dtype, labels.dtype) == ((100, 3, 32, 32), np.uint8, np.int64)
    red_green_blue = batch(1)["data"][3].reshape(3, 32, 32)
    assert np.array_equal(pixels[PER_BATCH + 3], red_green_blue)
    assert labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    pixels, _ = cifar.fetch(reader, root, "test")
    assert np.array_equal(pixels[0].ravel(), batch(5)["data"][0])


def test_loading_by_name_splits_normalises_and_is_cached(archive, monkeypatch):
    reader, root = archive
    monkeypatch.setattr(vision.datasets(), "CIFAR10", reader)
    data = load_data("cifar10", root=root)
    assert (len(data.train), len(data.val), len(data.test)) == (80, 20, 20)
    assert data.class_names[3] == "cat"
    assert data.normalisation.mean == (0.4914, 0.4822, 0.4465)
    assert data.normalisation.std == (0.2023, 0.1994, 0.2010)
    assert data.augmentation == "color_crop_cutout_flip_scale_rotate"
    assert data.split == {"val_fraction": 0.2, "test_fraction": None, "split_seed": 0, "image_size": None}
    assert np.array_equal(data.test.take([7]).numpy().ravel(), batch(5)["data"][7])
    smaller = load_data("cifar10", root=root, image_size=16)
    assert (smaller.size, smaller.val.labels.tolist()) == (16, data.val.labels.tolist())
    monkeypatch.setattr(vision, "datasets", None)  # from now on torchvision is not asked
    assert load_data("cifar10", root="/nowhere").fingerprint == data.fingerprint
    assert load_data("cifar10", image_size=16).fingerprint == smaller.fingerprint


def test_without_a_network_the_message_says_what_to_put_where(archive, tmp_path):
    reader, _ = archive
    empty = tmp_path / "empty"
    with pytest.raises(DataError) as caught:
        cifar.fetch(reader, empty, "train")
    sentence = str(caught.value)
    assert sentence.startswith(f"CIFAR-10 is not in {empty} and could not be fetched (")
    assert sentence.endswith(
        f"): download {reader.url} (md5 {reader.tgz_md5}) and put cifar-10-python.tar.gz into {empty}"
    )
    assert "\n" not in sentence


def test_a_damaged_archive_is_not_believed(archive):
    reader, root = archive
    (root / reader.filename).write_bytes(b"half a download")
    with pytest.raises(DataError, match=r"CIFAR-10 is not in .* and could not be fetched"):
        cifar.fetch(reader, root, "test")
