"""Readers on small files in the exact formats: torchvision reads them, only the checksums it expects are theirs."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import shutil
import struct
import tarfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from raydd import vision
from raydd.data import DatasetInfo, catalog, load_data
from raydd.data.torchvision_sets import fetch
from raydd.errors import DataError

CLOSED = "http://127.0.0.1:9/"  # nothing listens on the discard port
READERS = {
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "fashionmnist": "FashionMNIST",
    "mnist": "MNIST",
    "svhn": "SVHN",
}
TRAIN, TEST = 3, 2  # images per class


def about(name: str) -> DatasetInfo:
    return next(info for info in catalog() if info.name == name)


def official(name: str) -> Any:
    return getattr(vision.datasets(), READERS[name])


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def idx(array: np.ndarray) -> bytes:
    """Two zeros, 8 for unsigned bytes, the number of axes; every axis as a big-endian int32; the bytes."""
    return (
        struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    )


def cifar(name: str, images: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> tuple[dict, dict]:
    """Pickles of rows: 1024 red, 1024 green, 1024 blue values, labels as a list, in a gzipped tar."""
    reader = official(name)
    key = "labels" if name == "cifar10" else "fine_labels"
    members = {}
    for part, listed in (("train", reader.train_list), ("test", reader.test_list)):
        blocks = zip(np.array_split(images[part], len(listed)), np.array_split(labels[part], len(listed)))
        for (file, _), (pixels, targets) in zip(listed, blocks):
            batch = {"data": pixels.reshape(len(pixels), 3072), key: targets.tolist(), "batch_label": file}
            if name == "cifar100":
                batch["coarse_labels"] = [0] * len(targets)
            members[file] = pickle.dumps(batch, protocol=2)
    names = reader.meta["key"]
    members[reader.meta["filename"]] = pickle.dumps({names: class_names(name)}, protocol=2)
    content = tar({f"{reader.base_folder}/{file}": content for file, content in members.items()})
    expected = {
        "url": CLOSED + reader.filename,
        "tgz_md5": md5(content),
        "train_list": [[file, md5(members[file])] for file, _ in reader.train_list],
        "test_list": [[file, md5(members[file])] for file, _ in reader.test_list],
        "meta": {**reader.meta, "md5": md5(members[reader.meta["filename"]])},
    }
    return {reader.filename: content}, expected


def mnist(name: str, images: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> tuple[dict, dict]:
    contents = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        contents[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(idx(images[part][:, 0]))
        contents[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels[part]))
    expected = {
        "mirrors": [CLOSED],
        "resources": [(file, md5(contents[file])) for file, _ in official(name).resources],
    }
    return {f"{READERS[name]}/raw/{file}": content for file, content in contents.items()}, expected


def svhn(name: str, images: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> tuple[dict, dict]:
    """MATLAB files: `X` (32, 32, 3, N) and `y` (N, 1), in which 10 stands for the digit 0."""
    contents = {}
    for part in ("train", "test"):
        buffer = io.BytesIO()
        digits = np.where(labels[part] == 0, 10, labels[part]).astype(np.uint8)[:, None]
        savemat(buffer, {"X": images[part].transpose(2, 3, 1, 0), "y": digits}, do_compression=True)
        contents[part] = buffer.getvalue()
    listed = {
        part: [f"{CLOSED}{part}_32x32.mat", f"{part}_32x32.mat", md5(contents[part])] for part in contents
    }
    expected = {"split_list": {**official(name).split_list, **listed}}
    return {f"{part}_32x32.mat": content for part, content in contents.items()}, expected


def class_names(name: str) -> list[str]:
    if name == "cifar10":
        return ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    if name == "fashionmnist":
        clothes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]
        return [*clothes, "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
    return [f"thing {class_}" for class_ in range(100)] if name == "cifar100" else list("0123456789")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], SimpleNamespace]:
    """Write a small dataset in its format, and let torchvision's reader expect its checksums."""
    writers = {"cifar10": cifar, "cifar100": cifar, "fashionmnist": mnist, "mnist": mnist, "svhn": svhn}

    def write(name: str) -> SimpleNamespace:
        info, rng = about(name), np.random.default_rng(7)
        images, labels = {}, {}
        for part, each in (("train", TRAIN), ("test", TEST)):
            labels[part] = rng.permutation(np.repeat(np.arange(info.classes), each))
            shape = (len(labels[part]), info.channels, info.size, info.size)
            images[part] = rng.integers(0, 256, shape, dtype=np.uint8)
        contents, expected = writers[name](name, images, labels)
        root = tmp_path / "downloads"
        for file, content in contents.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(content)
        # MNIST's readers name their folder after their class.
        reader = type(READERS[name], (official(name),), expected)
        monkeypatch.setattr(vision.datasets(), READERS[name], reader)
        return SimpleNamespace(
            root=root, images=images, labels=labels, contents=contents, reader=reader, info=info
        )

    return write


@pytest.mark.parametrize("name", READERS)
def test_files_in_their_format_are_read_value_by_value(small, name):
    made = small(name)
    for part in ("train", "test"):
        found = fetch(made.info, made.root, part)
        assert (found.pixels.dtype, found.labels.dtype) == (np.uint8, np.int64)
        assert found.pixels.flags.c_contiguous
        assert np.array_equal(found.pixels, made.images[part])
        assert found.labels.tolist() == made.labels[part].tolist()
        assert found.class_names == tuple(class_names(name))


def test_rows_columns_and_colours_are_where_the_formats_have_them(small):
    made = small("svhn")
    made.images["train"][:] = 0
    made.images["train"][4, 2, 5, 9] = 200  # image 4, blue, row 5, column 9
    contents, expected = svhn("svhn", made.images, made.labels)
    made.reader.split_list = expected["split_list"]
    (made.root / "train_32x32.mat").write_bytes(contents["train_32x32.mat"])
    assert np.argwhere(fetch(made.info, made.root, "train").pixels).tolist() == [[4, 2, 5, 9]]

    made = small("cifar100")
    made.images["test"][:] = 0
    made.images["test"][6, 1, 3, 8] = 100  # the second 1024 values are green, row by row
    contents, expected = cifar("cifar100", made.images, made.labels)
    for key, value in expected.items():
        setattr(made.reader, key, value)
    (made.root / made.reader.filename).write_bytes(contents[made.reader.filename])
    with tarfile.open(made.root / made.reader.filename) as archive:
        row = pickle.loads(archive.extractfile("cifar-100-python/test").read())
    assert np.flatnonzero(row["data"][6]).tolist() == [1024 + 3 * 32 + 8]
    assert np.argwhere(fetch(made.info, made.root, "test").pixels).tolist() == [[6, 1, 3, 8]]


@pytest.mark.parametrize(
    ("name", "mean", "std", "flipped"),
    [
        ("cifar10", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010), True),
        ("cifar100", (0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762), True),
        ("fashionmnist", (0.2861,), (0.3530,), True),
        ("mnist", (0.1307,), (0.3081,), False),
        ("svhn", (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970), False),
    ],
)
def test_loading_by_name_splits_normalises_and_is_cached(small, monkeypatch, name, mean, std, flipped):
    made = small(name)
    data = load_data(name, root=made.root)
    classes = made.info.classes
    assert (data.name, data.channels, data.size) == (name, made.info.channels, made.info.size)
    # A fifth of three images a class, and at least one.
    assert (len(data.train), len(data.val), len(data.test)) == (2 * classes, classes, TEST * classes)
    assert data.class_names == tuple(class_names(name))
    assert (data.normalisation.mean, data.normalisation.std) == (mean, std)
    flip = "flip_" if flipped else ""
    assert data.augmentation == f"color_crop_cutout_{flip}scale_rotate"
    assert data.split == {"val_fraction": 0.2, "test_fraction": None, "split_seed": 0, "image_size": None}
    assert np.array_equal(data.test.take(range(len(data.test))).numpy(), made.images["test"])
    assert data.test.labels.tolist() == made.labels["test"].tolist()
    larger = load_data(name, root=made.root, image_size=40)
    assert (larger.size, larger.val.labels.tolist()) == (40, data.val.labels.tolist())

    shutil.rmtree(made.root)
    monkeypatch.setattr(vision, "datasets", None)  # from now on torchvision is not asked
    assert load_data(name, root="/nowhere").fingerprint == data.fingerprint
    assert load_data(name, image_size=40).fingerprint == larger.fingerprint


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_without_a_network_the_message_says_which_archive_to_put_where(small, tmp_path, name):
    made = small(name)
    empty = tmp_path / "empty"
    with pytest.raises(DataError) as caught:
        fetch(made.info, empty, "train")
    sentence, file = str(caught.value), made.reader.filename
    title = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}[name]
    assert sentence.startswith(f"{title} is not in {empty} and could not be fetched (")
    assert sentence.endswith(
        f"): download {CLOSED}{file} (md5 {made.reader.tgz_md5}) and put {file} into {empty}"
    )
    assert "\n" not in sentence


@pytest.mark.parametrize("name", ["mnist", "fashionmnist"])
def test_without_a_network_the_message_names_all_four_files_of_mnist(small, tmp_path, name):
    made = small(name)
    empty = tmp_path / "empty"
    with pytest.raises(DataError) as caught:
        fetch(made.info, empty, "test")
    folder = empty / READERS[name] / "raw"
    sentence = str(caught.value)
    assert sentence.startswith(f"{READERS[name]} is not in {folder} and could not be fetched (")
    files = ", ".join(f"{CLOSED}{file} (md5 {md5})" for file, md5 in made.reader.resources)
    assert sentence.endswith(f"): download {files} and put them into {folder}")
    assert files.count("md5") == 4
    assert "\n" not in sentence


def test_what_is_already_there_is_not_asked_for_again(small):
    made = small("svhn")
    (made.root / "test_32x32.mat").unlink()
    assert len(fetch(made.info, made.root, "train").labels) == 10 * TRAIN
    with pytest.raises(DataError) as caught:
        load_data("svhn", root=made.root)
    digest = made.reader.split_list["test"][2]
    assert str(caught.value).endswith(
        f"download {CLOSED}test_32x32.mat (md5 {digest}) and put test_32x32.mat into {made.root}"
    )
    assert "train_32x32" not in str(caught.value)
    (made.root / "test_32x32.mat").write_bytes(made.contents["test_32x32.mat"])
    assert len(load_data("svhn", root=made.root).test) == 10 * TEST


@pytest.mark.parametrize("name", READERS)
def test_a_root_that_is_a_file_is_named(small, name):
    made = small(name)
    file = made.root / next(iter(made.contents))
    with pytest.raises(
        DataError, match=f" is not in {file}.* and could not be fetched .*: download http://127"
    ):
        fetch(made.info, file, "train")


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_download_is_not_believed(small, name):
    made = small(name)
    for file in made.contents:
        (made.root / file).write_bytes(b"half a download")
    with pytest.raises(DataError, match=r" is not in .* and could not be fetched \(.*: download http://127"):
        fetch(made.info, made.root, "test")


@pytest.mark.parametrize(
    ("file", "damage", "reason"),
    [
        ("train-images-idx3-ubyte", lambda content: content[:-100], "is invalid for input of size"),
        ("train-images-idx3-ubyte", lambda content: b"", "invalid literal"),
        (
            "train-labels-idx1-ubyte",
            lambda content: idx(np.arange(10)),
            r"10 labels for images of shape \(30, 1, 28, 28\)",
        ),
        (
            "train-labels-idx1-ubyte",
            lambda content: idx(np.arange(30)),
            "labels from 0 to 29 for 10 classes",
        ),
    ],
    ids=["cut short", "empty", "of another set", "of more classes"],
)
def test_unpacked_files_that_torchvision_does_not_check_are_named_when_damaged(small, file, damage, reason):
    made = small("mnist")
    fetch(made.info, made.root, "train")
    folder = made.root / "MNIST" / "raw"
    unpacked = folder / file
    unpacked.write_bytes(damage(unpacked.read_bytes()))
    with pytest.raises(DataError, match=f"MNIST in .*raw is damaged .*{reason}.*: delete") as caught:
        fetch(made.info, made.root, "train")
    assert str(caught.value).endswith(f": delete {folder}/*-ubyte, and these files are fetched again")
    for path in folder.glob("*-ubyte"):
        path.unlink()
    assert np.array_equal(fetch(made.info, made.root, "train").pixels, made.images["train"])


@pytest.mark.parametrize("name", READERS)
def test_the_real_addresses_are_at_the_catalogs_source(name, tmp_path, monkeypatch):
    # Only the connection is cut: the addresses and checksums in the sentence are torchvision's own.
    nowhere = urllib.request.ProxyHandler({"http": CLOSED, "https": CLOSED})
    monkeypatch.setattr(urllib.request, "_opener", urllib.request.build_opener(nowhere))
    for bypass in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(bypass, raising=False)
    with pytest.raises(DataError) as caught:
        fetch(about(name), tmp_path, "train")
    download = str(caught.value).partition("): download ")[2]
    hosts = {word.split("/")[2] for word in download.split() if word.startswith("http")}
    assert len(hosts) == 1
    assert hosts.pop().endswith(about(name).source.partition(",")[0])
    assert download.count("(md5 ") == {"fashionmnist": 4, "mnist": 4, "svhn": 2}.get(name, 1)
