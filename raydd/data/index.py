"""What a folder of images looked like when it was last listed, so that an unchanged one opens without a listing."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from raydd import files
from raydd.data.decode import VERSION, cache_folder

SAMPLE = 512  # files compared on opening; more where there are more than 256 class folders
SETTLED = 2_000_000_000  # ns; the coarsest clock of a file system in use, FAT's, ticks in 2 s

File = tuple[str, int, int]  # path below the class folder, bytes, modification time in ns
Stamp = tuple[int, int, int]  # of a folder: bytes, modification and change time in ns

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """A folder of images as it was found.

    Attributes:
        begun: when the listing began, in ns since 1970.
        roots: per part (`train`, `val`, `test`) its folder.
        files: per part and class the image files, sorted.
        directories: every folder that was listed, the dataset's own and nested ones included, and its stamp
            from before it was listed.
    """

    begun: int
    roots: Mapping[str, Path]
    files: Mapping[str, Mapping[str, Sequence[File]]]
    directories: Mapping[Path, Stamp]


def stamp(path: str | bytes | Path) -> Stamp:
    """What adding, removing or renaming an entry of the folder `path` changes.

    The change time is among it because unpackers and rsync set modification times back to what they were.
    """
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def location(folder: Path, image_size: int | None) -> Path:
    """Where the index of `folder` lies. Its name is free of links, so that all ways to it share one index."""
    facts = {"version": VERSION, "folder": os.path.realpath(folder), "image_size": image_size}
    return cache_folder() / f"{files.digest(facts)[:32]}.index.npz"


def recall(index: Path, folder: Path) -> Path | None:
    """The store of decoded images that `folder` still is, as far as `index` can tell.

    Every directory's stamp must be as it was, and size and modification time of a sample of files. None where
    one is not, or where the index is missing or damaged: list the folder then.
    """
    try:
        with np.load(index, allow_pickle=False) as arrays:
            store = index.parent / str(arrays["store"])
            directories, stamps = _paths(folder, arrays["directories"]), arrays["stamps"]
            sample, states = _paths(folder, arrays["sample"]), arrays["states"]
        unchanged = np.array_equal([stamp(path) for path in directories], stamps) and np.array_equal(
            [(status.st_size, status.st_mtime_ns) for status in map(os.stat, sample)], states
        )
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever damaged bytes raise inside NumPy, the folder itself can be asked
        _logger.debug("passing over the index %s: %s", index, error)
        return None
    return store if unchanged and store.is_dir() else None


def forget(index: Path) -> None:
    """Drop an index that is doubted, so that nothing is opened by it should the folder turn out to be damaged."""
    with suppress(OSError):
        index.unlink()


def remember(index: Path, folder: Path, listing: Listing, store: Path) -> None:
    """Write the index that lets `recall` find `store`; where that fails, the next opening is only slower.

    What changed within `SETTLED` before the listing began, and what changes after it, can bear the same time.
    Nothing is remembered of such a folder: it is listed once more when it is opened next.
    """
    if listing.begun - _newest(listing) <= SETTLED:
        return
    sample = list(_sample(folder, listing))
    buffer = io.BytesIO()
    np.savez(
        buffer,
        store=np.array(store.name),
        directories=_joined(os.path.relpath(path, folder) for path in listing.directories),
        stamps=np.array(list(listing.directories.values()), np.int64),
        sample=_joined(path for path, _, _ in sample),
        states=np.array([state for _, *state in sample], np.int64),
    )
    try:
        files.write_bytes(index, buffer.getvalue())
    except OSError as error:
        _logger.debug("cannot write the index %s: %s", index, error)


def _newest(listing: Listing) -> int:
    """The latest time, in ns, at which a folder or an image file changed."""
    folders = (max(modified, changed) for _, modified, changed in listing.directories.values())
    images = (file[2] for classes in listing.files.values() for found in classes.values() for file in found)
    return max(chain(folders, images))


def _sample(folder: Path, listing: Listing) -> Iterator[File]:
    """About `SAMPLE` files, evenly over every class of every part; each one's first and last are among them."""
    quota = max(2, SAMPLE // sum(map(len, listing.files.values())))
    for part, classes in listing.files.items():
        below = os.path.relpath(listing.roots[part], folder)
        for name, found in classes.items():
            for place in np.unique(np.linspace(0, len(found) - 1, min(quota, len(found))).astype(int)):
                path, size, modified = found[place]
                yield os.path.join(below, name, path), size, modified


def _joined(paths: Iterable[str]) -> np.ndarray:
    """Paths in one array of bytes: of any length, and of any name that a file can have."""
    return np.frombuffer(b"\0".join(map(os.fsencode, paths)), np.uint8)


def _paths(folder: Path, joined: np.ndarray) -> list[bytes]:
    start = os.fsencode(folder)
    return [os.path.join(start, path) for path in joined.tobytes().split(b"\0")]
