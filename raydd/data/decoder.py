"""Image files to 8-bit square arrays: what one decoding process does.

It runs inside a bare Python started by `raydd.data.decode`, so it imports Pillow and NumPy and nothing heavy.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from raydd.data.summary import block_length, summarise
from raydd.errors import DataError

_GREY = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}


class ColourFound(Exception):
    """An image has colour although the job is for grey ones."""


@dataclass(frozen=True)
class Job:
    """A run of image files to decode into rows of the .npy files in `folder`.

    Attributes:
        folder: where `pixels.npy`, `digests.npy` and `sums.npy` wait, at their full size.
        start: row of the first file.
        files: absolute paths.
        channels: 1 or 3.
        size: side in pixels.
        resize: bring every image to `size`; otherwise one of another size is an error.
    """

    folder: str
    start: int
    files: list[str]
    channels: int
    size: int
    resize: bool


def open_image(path: str) -> Image.Image:
    """The image with its pixels loaded, upright.

    Raises:
        DataError: the file cannot be read as an image.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return _upright(image)
    except Exception as error:  # Pillow's plug-ins raise whatever their format's parser raises
        reason = "unknown format" if isinstance(error, Image.UnidentifiedImageError) else error
        raise DataError(f"cannot read the image {path}: {reason}") from None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image) if "exif" in image.info else image
    except Exception:  # the pixels are whole, only what is written about them is not
        return image


def is_grey(image: Image.Image) -> bool:
    """Whether the image has one channel, transparency aside."""
    return image.mode in _GREY


def to_square(image: Image.Image, size: int) -> Image.Image:
    """Shorter side brought to `size` by bicubic interpolation, the longer cropped at the centre."""
    if image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), method=Image.Resampling.BICUBIC)


def to_eight_bit(image: Image.Image, channels: int) -> Image.Image:
    """Mode `L` for one channel, `RGB` for three; 16-bit grey keeps its upper byte, transparency is dropped."""
    if image.mode == "I":
        raise DataError("32-bit grey images have no scale that could be known: save them with 8 or 16 bits")
    if image.mode.startswith("I;"):
        # Pillow itself clips these to 255 rather than scaling them.
        values = np.clip(np.asarray(image).astype(np.int64), 0, 65_535)
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def read_pixels(path: str, channels: int, size: int, resize: bool) -> np.ndarray:
    """Pixels of one file, uint8 (C, S, S).

    Raises:
        DataError: the file is no image, has floating-point pixels, or (without `resize`) another size.
        ColourFound: one channel is wanted and the image has colour.
    """
    image = open_image(path)
    if image.mode == "F":
        raise DataError(f"cannot read the image {path}: it has floating-point pixels, save it with 8 bits")
    if not resize and image.size != (size, size):
        raise DataError(
            f"the images differ in size ({size}x{size} at first, {image.width}x{image.height} in {path}): "
            "choose one side for all with --image-size"
        )
    if channels == 1 and not is_grey(image):
        raise ColourFound
    pixels = np.asarray(to_square(to_eight_bit(image, channels), size))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def write_rows(path: Path, start: int, rows: np.ndarray) -> None:
    """Write `rows` into an existing .npy file from row `start` on.

    With plain writes, not through a mapping: a full disk is then an OSError and not a dead process.
    """
    offset = np.load(path, mmap_mode="r").offset + start * rows[:1].nbytes
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(np.ascontiguousarray(rows).data)


def run(job: Job) -> None:
    """Decode a job's files, block by block.

    Raises:
        DataError, ColourFound: as `read_pixels`.
        OSError: the folder cannot be written to.
    """
    folder = Path(job.folder)
    shape = (len(job.files), job.channels, job.size, job.size)
    step = block_length(shape)
    for start in range(0, len(job.files), step):
        files = job.files[start : start + step]
        block = np.empty((len(files), *shape[1:]), np.uint8)
        for row, path in enumerate(files):
            block[row] = read_pixels(path, job.channels, job.size, job.resize)
        write_block(folder, job.start + start, block)


def write_block(folder: Path, start: int, block: np.ndarray) -> None:
    """Write pixels (n, C, S, S) and their summary from row `start` on."""
    summary = summarise(block)
    write_rows(folder / "pixels.npy", start, block)
    write_rows(folder / "digests.npy", start, summary.digests)
    write_rows(folder / "sums.npy", start, summary.sums)


def encode(job: Job) -> str:
    """A job as the JSON that `main` reads."""
    return json.dumps(asdict(job))


def main() -> None:
    """Run the job that comes as JSON on stdin; say how it ended as JSON on stdout."""
    answer: dict[str, object] = {}
    try:
        run(Job(**json.load(sys.stdin)))
    except ColourFound:
        answer["colour"] = True
    except DataError as error:
        answer["wrong"] = str(error)
    except OSError as error:
        answer["errno"], answer["strerror"] = error.errno, error.strerror
    json.dump(answer, sys.stdout)
