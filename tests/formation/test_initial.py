"""Initial images and labels: whole real images, noise, and cells that each show another real image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from raydd.data import ArrayImages
from raydd.errors import ConfigError, DataError
from raydd.formation import cells_spec, decode, initial_images, initial_labels
from raydd.normalisation import Normalisation
from raydd.seeding import generator

NORMALISATION = Normalisation((0.5,), (0.25,))


def numbered(counts: tuple[int, ...], size: int = 4) -> ArrayImages:
    """Grey images; image k of class c is filled with 50 c + k."""
    labels = np.repeat(np.arange(len(counts)), counts)
    values = np.concatenate([50 * class_ + np.arange(count) for class_, count in enumerate(counts)])
    return ArrayImages(
        np.broadcast_to(values[:, None, None, None], (len(labels), 1, size, size)).astype(np.uint8), labels
    )


def noisy(count: int, size: int, classes: int = 2) -> ArrayImages:
    """Images in colour of random pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (classes * count, 3, size, size), dtype=np.uint8)
    return ArrayImages(pixels, np.repeat(np.arange(classes), count))


def test_real_images_are_distinct_images_of_their_class_in_class_major_order() -> None:
    images = initial_images(numbered((10, 20, 9)), 5, NORMALISATION, seed=0)
    assert images.shape == (15, 1, 4, 4)
    assert images.dtype == torch.float32
    values = ((images[:, 0, 0, 0] * 0.25 + 0.5) * 255).round().int()
    assert torch.equal(values // 50, torch.arange(3, dtype=torch.int32).repeat_interleave(5))
    assert len(set(values.tolist())) == 15
    assert (values % 50 < torch.tensor([10, 20, 9]).repeat_interleave(5)).all()


def test_the_seed_decides_and_each_class_has_its_own_stream() -> None:
    data = numbered((10, 20, 9))
    first = initial_images(data, 5, NORMALISATION, seed=0)
    assert torch.equal(first, initial_images(data, 5, NORMALISATION, seed=0))
    assert not torch.equal(first, initial_images(data, 5, NORMALISATION, seed=1))
    fewer = initial_images(numbered((10, 20)), 5, NORMALISATION, seed=0)
    assert torch.equal(fewer, first[:10])


def test_real_images_are_the_first_of_the_classs_initial_stream() -> None:
    data = noisy(9, 8)
    drawn = [data.sample(class_, 4, generator(3, "initial", 0, class_)) for class_ in range(2)]
    expected = torch.cat(drawn)
    normalisation = Normalisation((0.3, 0.4, 0.5), (0.2, 0.25, 0.3))
    assert torch.equal(initial_images(data, 4, normalisation, 3), normalisation.apply(expected))
    assert torch.equal(initial_images(data, 4, None, 3), expected / 255.0)


def test_noise_is_standard_normal_in_normalised_units() -> None:
    noise = initial_images(numbered((3, 3)), 200, NORMALISATION, seed=0, how="noise")
    assert noise.shape == (400, 1, 4, 4)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.05)
    assert noise.std().item() == pytest.approx(1.0, abs=0.05)
    assert not torch.equal(noise[:200], noise[200:])


def test_noise_in_unit_pixels_is_the_same_noise_about_grey_and_clamped() -> None:
    data = numbered((3, 3))
    noise = initial_images(data, 200, NORMALISATION, seed=0, how="noise")
    unit = initial_images(data, 200, None, seed=0, how="noise")
    assert torch.equal(unit, (noise / 4 + 0.5).clamp(0, 1))
    assert (unit.min(), unit.max()) == (0.0, 1.0)
    assert (unit == 1).float().mean().item() == pytest.approx(0.0228, abs=0.01)  # beyond two deviations


@pytest.mark.parametrize(("size", "factor"), [(32, 2), (28, 2), (32, 4), (9, 3)])
def test_cells_of_a_mix_are_small_real_images_and_decode_enlarges_them(size: int, factor: int) -> None:
    data, ipc, cells = noisy(40, size), 2, factor**2
    mixed = initial_images(data, ipc, None, seed=1, how="mix", factor=factor)
    seen = decode(mixed.unflatten(0, (2, ipc)), cells_spec(factor), pad=0.5)
    side = size // factor
    for class_ in range(2):
        real = data.sample(class_, ipc * cells, generator(1, "initial", 0, class_)) / 255.0
        small = real[..., ::factor, ::factor]  # nearest neighbours where the factor divides the size
        for image in range(ipc):
            for cell in range(cells):
                row, column = divmod(cell, factor)
                stored = mixed[class_ * ipc + image]
                crop = stored[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
                source = small[cell * ipc + image]
                assert torch.equal(crop, source)
                whole = F.interpolate(source[None], size=(size, size), mode="bilinear", align_corners=False)
                assert torch.equal(seen[class_, image * cells + cell], whole[0])


def test_bilinear_halving_is_the_mean_of_four_pixels_in_the_units_of_the_result() -> None:
    data = noisy(40, 8)
    normalisation = Normalisation((0.3, 0.4, 0.5), (0.2, 0.25, 0.3))
    mixed = initial_images(data, 2, normalisation, seed=1, how="mix", factor=2, resize="bilinear")
    real = normalisation.apply(data.sample(0, 8, generator(1, "initial", 0, 0)))
    means = real.unflatten(3, (4, 2)).unflatten(2, (4, 2)).mean(dim=(3, 5))
    torch.testing.assert_close(mixed[1, :, 4:, :4], means[2 * 2 + 1])
    halved = F.interpolate(real, scale_factor=0.5, mode="bilinear", align_corners=False)
    assert torch.equal(mixed[1, :, 4:, :4], halved[2 * 2 + 1])
    nearest = initial_images(data, 2, normalisation, seed=1, how="mix", factor=2)
    assert torch.equal(nearest[1, :, 4:, :4], real[2 * 2 + 1, :, ::2, ::2])


def test_where_the_factor_does_not_divide_the_size_the_first_cells_are_one_pixel_larger() -> None:
    mixed = initial_images(numbered((9, 9), size=8), 1, None, seed=0, how="mix", factor=3)
    values = (mixed * 255).round().int()[0, 0]
    edges = [0, 3, 6, 8]
    cells = [
        values[top:bottom, left:right].unique().tolist()
        for top, bottom in pairwise(edges)
        for left, right in pairwise(edges)
    ]
    assert all(len(cell) == 1 for cell in cells)
    assert sorted(cell[0] for cell in cells) == list(range(9))  # every image of the class once
    larger = initial_images(numbered((16,), size=7), 1, None, seed=0, how="mix", factor=4)[0, 0, 0]
    assert (larger[:-1] != larger[1:]).nonzero().flatten().tolist() == [1, 3, 5]  # sides 2, 2, 2, 1


def test_a_mix_repeats_no_image_where_the_class_has_enough_and_none_within_a_cell_elsewhere() -> None:
    mixed = initial_images(numbered((12, 11)), 3, None, seed=0, how="mix", factor=2)
    values = (mixed * 255).round().int()[:, 0, [0, 0, 3, 3], [0, 3, 0, 3]]  # (images, cells)
    assert sorted(values[:3].flatten().tolist()) == list(range(12))
    few = values[3:]
    assert all(len(set(cell.tolist())) == 3 for cell in few.T)
    assert (few // 50 == 1).all()
    assert not torch.equal(few[:, 0], few[:, 1])  # each cell has a draw of its own


@pytest.mark.parametrize("how", ["real", "mix"])
def test_a_mix_of_factor_1_is_real_and_its_first_cell_begins_with_the_real_images(how: str) -> None:
    data = noisy(20, 8)
    normalisation = Normalisation((0.3, 0.4, 0.5), (0.2, 0.25, 0.3))
    for constants in (normalisation, None):
        real = initial_images(data, 3, constants, 5)
        assert torch.equal(initial_images(data, 3, constants, 5, how, factor=1), real)
        mixed = initial_images(data, 3, constants, 5, "mix", factor=2)
        assert torch.equal(mixed[..., :4, :4], real[..., ::2, ::2])


def test_real_images_are_whole_whatever_the_factor() -> None:
    data = noisy(20, 8)
    assert torch.equal(initial_images(data, 3, None, 5, factor=2), initial_images(data, 3, None, 5))


def test_unit_pixels_stay_in_the_unit_range_when_resized() -> None:
    white = ArrayImages(np.full((20, 1, 32, 32), 255, dtype=np.uint8), np.zeros(20, dtype=np.int64))
    mixed = initial_images(white, 2, None, 0, "mix", factor=3, resize="bilinear")
    assert mixed.max() <= 1.0
    torch.testing.assert_close(mixed, torch.ones_like(mixed))


@pytest.mark.parametrize("how", ["real", "mix"])
def test_a_class_with_too_few_images_is_refused(how: str) -> None:
    with pytest.raises(DataError, match="ipc is 10, but class 2 has 9 training images: ipc may be at most 9"):
        initial_images(numbered((10, 20, 9)), 10, NORMALISATION, seed=0, how=how)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"how": "reel"}, r"^init: unknown initial images 'reel': did you mean 'real'\? \(allowed: mix, "),
        ({"resize": "linear"}, r"^resize: unknown way of resizing 'linear': did you mean 'bilinear'\?"),
        ({"factor": 0}, r"^factor: must lie in 1..4, the images' side in pixels, got 0$"),
        ({"factor": 5}, r"^factor: must lie in 1..4, the images' side in pixels, got 5$"),
    ],
)
def test_unknown_starts_are_refused(asked: dict, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        initial_images(numbered((3, 3)), 1, NORMALISATION, **{"seed": 0, "how": "mix", **asked})


def test_labels_are_class_major() -> None:
    assert initial_labels(3, 2).tolist() == [0, 0, 1, 1, 2, 2]
    assert initial_labels(3, 2).dtype == torch.int64
