from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raydd.data.decoder import ColourFound, read_pixels
from raydd.errors import DataError

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
RGB = np.random.default_rng(3).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def saved(path: Path, image: Image.Image, **options: object) -> str:
    image.save(path, **options)
    return str(path)


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff", "tga"])
def test_lossless_formats_come_back_bit_for_bit(tmp_path, suffix):
    path = saved(tmp_path / f"x.{suffix}", Image.fromarray(RGB))
    assert np.array_equal(read_pixels(path, 3, 8, False), RGB.transpose(2, 0, 1))


def test_the_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.fromarray(np.full((8, 8), level, np.uint8)) for level in (10, 200)]
    path = saved(tmp_path / "x.gif", frames[0], save_all=True, append_images=frames[1:])
    assert np.array_equal(read_pixels(path, 3, 8, False), np.full((3, 8, 8), 10))


def test_jpeg_is_what_pillow_decodes(tmp_path):
    smooth = np.linspace(0, 255, 192).reshape(8, 8, 3).astype(np.uint8)
    path = saved(tmp_path / "x.jpg", Image.fromarray(smooth), quality=95)
    pixels = read_pixels(path, 3, 8, False)
    assert np.array_equal(pixels.transpose(1, 2, 0), np.asarray(Image.open(path)))
    assert np.abs(pixels.astype(int) - smooth.transpose(2, 0, 1)).mean() < 12


def test_grey_pixels_become_three_equal_channels_where_colour_is_wanted(tmp_path):
    path = saved(tmp_path / "x.png", Image.fromarray(GREY))
    assert np.array_equal(read_pixels(path, 1, 8, False), GREY[None])
    assert np.array_equal(read_pixels(path, 3, 8, False), np.stack([GREY] * 3))


def test_sixteen_bits_keep_their_upper_byte(tmp_path):
    values = GREY.astype(np.uint16) * 256 + 200
    for suffix in ("png", "tiff"):
        path = saved(tmp_path / f"x.{suffix}", Image.fromarray(values))
        assert np.array_equal(read_pixels(path, 1, 8, False), GREY[None])


def test_one_bit_becomes_black_and_white(tmp_path):
    path = saved(tmp_path / "x.png", Image.fromarray(GREY > 90))
    assert np.array_equal(read_pixels(path, 1, 8, False)[0], np.where(GREY > 90, 255, 0))


def test_transparency_is_dropped(tmp_path):
    rgba = np.dstack([RGB, np.zeros((8, 8), np.uint8)])
    path = saved(tmp_path / "x.png", Image.fromarray(rgba))
    assert np.array_equal(read_pixels(path, 3, 8, False), RGB.transpose(2, 0, 1))
    grey = saved(tmp_path / "y.png", Image.fromarray(np.dstack([GREY, GREY])))
    assert np.array_equal(read_pixels(grey, 1, 8, False), GREY[None])


def test_a_palette_counts_as_colour(tmp_path):
    image = Image.fromarray(RGB).quantize(256)
    path = saved(tmp_path / "x.png", image)
    assert np.array_equal(read_pixels(path, 3, 8, False), np.asarray(image.convert("RGB")).transpose(2, 0, 1))
    with pytest.raises(ColourFound):
        read_pixels(path, 1, 8, False)


def test_a_photo_taken_on_its_side_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    path = saved(tmp_path / "x.png", Image.fromarray(GREY), exif=exif)
    assert np.array_equal(read_pixels(path, 1, 8, False)[0], np.rot90(GREY, -1))


def test_the_longer_side_is_cropped_at_the_centre(tmp_path):
    wide = np.zeros((8, 16), np.uint8)
    wide[:, 4:12] = GREY
    path = saved(tmp_path / "x.png", Image.fromarray(wide))
    assert np.array_equal(read_pixels(path, 1, 8, True)[0], GREY)
    tall = saved(tmp_path / "y.png", Image.fromarray(wide.T.copy()))
    assert np.array_equal(read_pixels(tall, 1, 8, True)[0], GREY.T)


def test_resizing_keeps_a_flat_image_flat_and_halves_an_average(tmp_path):
    flat = saved(tmp_path / "x.png", Image.fromarray(np.full((50, 40), 77, np.uint8)))
    assert np.array_equal(read_pixels(flat, 1, 16, True), np.full((1, 16, 16), 77))
    stripes = np.tile(np.array([0, 200], np.uint8), (64, 32))
    path = saved(tmp_path / "y.png", Image.fromarray(stripes))
    assert np.abs(read_pixels(path, 1, 8, True).astype(int) - 100).max() <= 12


def test_errors_name_the_file(tmp_path):
    noise = tmp_path / "noise.jpg"
    noise.write_bytes(b"no image at all")
    with pytest.raises(DataError, match=r"cannot read the image .*noise.jpg: unknown format"):
        read_pixels(str(noise), 3, 8, False)
    whole = tmp_path / "cut.png"
    saved(whole, Image.fromarray(RGB))
    whole.write_bytes(whole.read_bytes()[:120])
    with pytest.raises(DataError, match=r"cannot read the image .*cut.png: .*"):
        read_pixels(str(whole), 3, 8, False)
    real = saved(tmp_path / "real.tiff", Image.fromarray(GREY.astype(np.float32)))
    with pytest.raises(DataError, match=r"real.tiff: it has floating-point pixels"):
        read_pixels(real, 1, 8, False)
    other = saved(tmp_path / "other.png", Image.fromarray(GREY[:, :5]))
    with pytest.raises(
        DataError, match=r"differ in size \(8x8 at first, 5x8 in .*other.png\): .* --image-size"
    ):
        read_pixels(other, 1, 8, False)
