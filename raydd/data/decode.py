"""The cache of decoded images: written once, whole or not at all, outside the user's folders, then mapped."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raydd import devices
from raydd.data.images import ImageData, MappedImages
from raydd.data.summary import block_length
from raydd.errors import DataError
from raydd.files import FileLock, absolute, atomic_folder, digest, read_json, write_json

if TYPE_CHECKING:
    from raydd.data.decoder import Job

VERSION = 1  # raised when the same files would decode to other pixels or be stored otherwise
PER_PROCESS = 2_000  # files below which starting another process costs more than it saves

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A dataset as it was found: the parts that it brings along and the names of its classes.

    Attributes:
        parts: `train`, and `val` and `test` where the data has them.
        class_names: in label order.
    """

    parts: Mapping[str, ImageData]
    class_names: tuple[str, ...]


def cache_folder() -> Path:
    """Where decoded images lie: `decoded` in `RAYDD_CACHE`, else in `~/.cache/raydd`."""
    return absolute(os.environ.get("RAYDD_CACHE") or "~/.cache/raydd") / "decoded"


def cached(facts: Any, write: Callable[[Path], None]) -> Source:
    """Open the decoded images of `facts` (JSON-able), after `write(folder)` has made them if they are not there.

    Raises:
        DataError: the cache cannot be written or is damaged; whatever `write` raises.
    """
    return opened(stored(facts, write))


def stored(facts: Any, write: Callable[[Path], None]) -> Path:
    """The store of the decoded images of `facts`, after `write(folder)` has made it if it is not there.

    Raises:
        DataError: the cache cannot be written; whatever `write` raises.
    """
    path = cache_folder() / digest({"version": VERSION, "facts": facts})[:32]
    if not path.is_dir():
        try:
            # The other processes of a study wait and read, rather than decode the same images.
            with FileLock(path.with_name(f".{path.name}.lock")):
                if not path.is_dir():
                    with atomic_folder(path) as folder:
                        write(folder)
                        for file in folder.iterdir():
                            with file.open("rb") as handle:
                                os.fsync(handle.fileno())
        except OSError as error:
            raise DataError(
                f"cannot write decoded images to {path.parent} ({error.strerror}): free it or let RAYDD_CACHE "
                "name a folder that can be written to"
            ) from None
    return path


def opened(path: Path) -> Source:
    """The parts and classes of a store.

    Raises:
        DataError: it is gone or damaged.
    """
    whole = MappedImages(path)
    about = read_json(path / "about.json")
    bounds = np.cumsum([0, *about["parts"].values()])
    parts = {
        part: whole.subset(np.arange(start, stop))
        for part, (start, stop) in zip(about["parts"], pairwise(bounds))
    }
    return Source(parts, tuple(about["classes"]))


def prepare(
    folder: Path,
    labels: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    channels: int,
    size: int,
) -> None:
    """Lay out the files of a store: labels per part in order, pixels and summaries still empty."""
    joined = np.concatenate(list(labels.values())).astype(np.int64)
    count = len(joined)
    np.save(folder / "labels.npy", joined)
    for name, dtype, shape in (
        ("pixels", np.uint8, (count, channels, size, size)),
        ("digests", np.uint8, (count, 32)),
        ("sums", np.int64, (count, 2, channels)),
    ):
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
    parts = {part: len(rows) for part, rows in labels.items()}
    write_json(folder / "about.json", {"classes": list(class_names), "parts": parts})


def write_arrays(
    folder: Path, parts: Mapping[str, tuple[np.ndarray, np.ndarray]], class_names: Sequence[str]
) -> None:
    """Store arrays: per part pixels uint8 (N, C, S, S) and labels (N,)."""
    from raydd.data.decoder import write_block

    pixels = [part[0] for part in parts.values()]
    prepare(folder, {name: part[1] for name, part in parts.items()}, class_names, *pixels[0].shape[1:3])
    start = 0
    for array in pixels:
        step = block_length(array.shape)
        for first in range(0, len(array), step):
            write_block(folder, start + first, array[first : first + step])
        start += len(array)


def write_files(
    folder: Path,
    files: Mapping[str, Sequence[str]],
    labels: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    image_size: int | None,
    bounds: tuple[int, int],
) -> None:
    """Decode image files into a store; grey where every image is grey, RGB otherwise.

    Args:
        folder: the store's folder, empty.
        files: per part the absolute paths, in the order of `labels`.
        labels: per part class indices.
        class_names: in label order.
        image_size: side in pixels to bring all images to; None keeps theirs, which must be one square size.
        bounds: smallest and largest side allowed where `image_size` is None.

    Raises:
        DataError: an image is damaged, or the sizes differ or are not square or out of bounds.
    """
    from raydd.data.decoder import ColourFound, is_grey, open_image

    paths = [path for part in files.values() for path in part]
    first = open_image(paths[0])
    if image_size is None:
        width, height = first.size
        low, high = bounds
        if width != height:
            raise DataError(
                f"the images are not square ({width}x{height} in {paths[0]}): choose a side with --image-size"
            )
        if not low <= width <= high:
            raise DataError(
                f"the images are {width}x{height} pixels, outside {low}..{high}: choose a side with --image-size"
            )
    size = image_size or first.width
    _logger.info("decoding %d images once into %s", len(paths), folder.parent)
    for channels in (1, 3) if is_grey(first) else (3,):
        prepare(folder, labels, class_names, channels, size)
        try:
            _decode(folder, paths, channels, size, resize=image_size is not None)
        except ColourFound:
            continue
        break


def _decode(folder: Path, paths: list[str], channels: int, size: int, *, resize: bool) -> None:
    from raydd.data.decoder import Job, run

    workers = max(1, min(devices.available_cpus(), len(paths) // PER_PROCESS))
    cuts = [len(paths) * worker // workers for worker in range(workers + 1)]
    jobs = [
        Job(str(folder), start, paths[start:stop], channels, size, resize) for start, stop in pairwise(cuts)
    ]
    if workers == 1 or not sys.executable:
        for job in jobs:
            run(job)
    else:
        _run_processes(jobs)


def _run_processes(jobs: Sequence[Job]) -> None:
    """Run each job in a Python of its own; the first job's error is raised.

    Not with `multiprocessing`: forking a process that has torch's threads can hang, and its other ways to
    start a process run the user's script again.
    """
    from raydd.data.decoder import ColourFound, encode

    command = [sys.executable, "-c", "from raydd.data.decoder import main; main()"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    with ExitStack() as stack:
        processes = []
        for _ in jobs:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        for process, job in zip(processes, jobs):
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # its exit status is looked at below
                process.stdin.write(encode(job))
                process.stdin.close()
            process.stdin = None  # communicate() would flush it again
        for process in processes:
            out, err = process.communicate()
            if process.returncode != 0:
                last = (err.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
                raise DataError(f"a decoding process ended early: {last}")
            answer = json.loads(out)
            if answer.get("colour"):
                raise ColourFound
            if "wrong" in answer:
                raise DataError(answer["wrong"])
            if "errno" in answer:
                raise OSError(answer["errno"], answer["strerror"])
