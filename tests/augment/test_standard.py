from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raydd import augment
from raydd.augment import Draw, Standard
from raydd.augment.standard import boxes, padding
from raydd.errors import ConfigError
from raydd.seeding import generator

LARGEST = 1.0 - 2.0**-24  # the largest float32 that torch.rand gives

Image = NDArray[np.float64]
Images = Callable[..., torch.Tensor]


def crop(x: Image, u: Image) -> Image:
    _, height, width = x.shape
    down, across = (4 if side >= 32 else side // 8 for side in (height, width))
    padded = np.zeros((len(x), height + 2 * down, width + 2 * across))
    padded[:, down : down + height, across : across + width] = x
    top, left = math.floor(u[0] * (2 * down + 1)), math.floor(u[1] * (2 * across + 1))
    return padded[:, top : top + height, left : left + width]


def flip(x: Image, u: Image) -> Image:
    return x[:, :, ::-1] if u[0] < 0.5 else x


def box(rows: int, columns: int, u: Image) -> tuple[int, int, int, int]:
    for attempt in range(10):
        area = rows * columns * (0.08 + (1 - 0.08) * u[attempt])
        aspect = math.exp(math.log(3 / 4) + (math.log(4 / 3) - math.log(3 / 4)) * u[10 + attempt])
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= columns and 0 < height <= rows:
            top = math.floor(u[20] * (rows - height + 1))
            return top, height, math.floor(u[21] * (columns - width + 1)), width
    height, width = rows, columns
    if columns / rows < 3 / 4:
        height = round(columns / (3 / 4))
    elif columns / rows > 4 / 3:
        width = round(rows * (4 / 3))
    return (rows - height) // 2, height, (columns - width) // 2, width


def rrc(x: Image, u: Image) -> Image:
    _, rows, columns = x.shape
    top, height, left, width = box(rows, columns, u)
    part, out = x[:, top : top + height, left : left + width], np.zeros_like(x)
    for i in range(rows):
        for j in range(columns):
            down = min(max((i + 0.5) * height / rows - 0.5, 0), height - 1)
            across = min(max((j + 0.5) * width / columns - 0.5, 0), width - 1)
            r, c = math.floor(down), math.floor(across)
            for row, by_row in ((r, 1 - (down - r)), (min(r + 1, height - 1), down - r)):
                for column, by_column in ((c, 1 - (across - c)), (min(c + 1, width - 1), across - c)):
                    out[:, i, j] += by_row * by_column * part[:, row, column]
    return out


LOOPS = {"crop": crop, "flip": flip, "rrc": rrc}
UNIFORMS = {"crop": 2, "flip": 1, "rrc": 22}
STRATEGIES = ["crop_flip", "crop", "rrc_flip"]


@pytest.mark.parametrize("ops", STRATEGIES)
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 9, 6), (3, 6, 11)])
@pytest.mark.parametrize("shared", [True, False])
def test_a_strategy_is_all_its_ops_in_float64_loops(
    ops: str, shape: tuple[int, int, int], shared: bool, random_images: Images
) -> None:
    standard, x = Standard(ops), random_images(4, *shape)
    for attempt in range(4):
        draw = standard.draw(generator(attempt, "draw"), None if shared else 4)
        assert draw.op == ops
        out = standard(x, draw).numpy()
        for i in range(4):
            expected = x[i].numpy()
            uniforms = draw.uniforms[0 if shared else i].double().numpy()
            for op in ops.split("_"):
                u, uniforms = uniforms[: UNIFORMS[op]], uniforms[UNIFORMS[op] :]
                expected = LOOPS[op](expected, u)
            np.testing.assert_allclose(out[i], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("ops", ["crop", "flip", "rrc"])
@pytest.mark.parametrize("u", [0.0, LARGEST])
@pytest.mark.parametrize("rows", [1, 3])
def test_the_ends_of_the_unit_interval_stay_inside_the_op(
    ops: str, u: float, rows: int, random_images: Images
) -> None:
    x = random_images(3, 3, 16, 16)
    uniforms = torch.full((rows, UNIFORMS[ops]), u)
    expected = [LOOPS[ops](image.numpy(), uniforms[0].double().numpy()) for image in x]
    np.testing.assert_allclose(
        Standard(ops)(x, Draw((ops,), uniforms)).numpy(), np.stack(expected), rtol=1e-9, atol=1e-12
    )


def test_the_cut_out_parts_lie_within_the_image_and_have_the_areas_and_aspects_that_were_drawn() -> None:
    u = torch.rand(4000, 22, generator=generator(0, "u"), dtype=torch.float64)
    (top, height), (left, width) = boxes(u, 32, 32)
    for first, length in ((top, height), (left, width)):
        assert int(first.min()) == 0
        assert int((first + length).max()) == 32
        assert int(length.min()) >= 1
    # Rounding a side of at least 7 px moves it by at most half a pixel.
    shares = (height * width / 1024).numpy()
    assert 0.06 < shares.min() < 0.1
    assert shares.max() <= 1.0
    assert abs(np.log(width / height)).max() < math.log(4 / 3) + math.log(7.5 / 6.5)
    # U(0.08, 1) has the mean 0.54; of large parts only those of a fitting aspect are kept, which leaves 0.478.
    assert 0.46 < shares.mean() < 0.50
    assert abs(np.log(width / height).mean()) < 0.01


def test_the_whole_image_cut_out_is_the_image_bit_for_bit(random_images: Images) -> None:
    x = random_images(2, 3, 32, 32).float()
    whole = torch.zeros(2, 22)
    whole[:, :10], whole[:, 10:20] = 1.0, 0.5  # all of the area, aspect 1
    assert torch.equal(Standard("rrc")(x, Draw(("rrc",), whole)), x)
    assert torch.equal(Standard("rrc")(x, Draw(("rrc",), whole[:1])), x)


def test_where_no_part_fits_it_is_the_middle(random_images: Images) -> None:
    never = torch.ones(1, 22)  # all of the area with the widest aspect does not fit into a square
    for (rows, columns), expected in (((16, 16), [0, 16, 0, 16]), ((4, 12), [0, 4, 3, 5])):
        found = boxes(never.double(), rows, columns)
        assert [tensor.item() for pair in found for tensor in pair] == expected
    x = random_images(2, 3, 16, 16)
    assert torch.equal(Standard("rrc")(x, Draw(("rrc",), never)), x)


def test_crop_shifts_by_four_pixels_and_small_images_by_an_eighth_of_their_side() -> None:
    for side, most in ((8, 1), (28, 3), (31, 3), (32, 4), (64, 4)):
        assert padding(side) == most
        ones = torch.ones(512, 1, side, side)
        kept = Standard("crop")(ones, Draw(("crop",), torch.rand(512, 2, generator=generator(0, "u"))))
        shares = kept.flatten(1).mean(1)
        assert float(shares.min()) == pytest.approx(((side - most) / side) ** 2, abs=1e-6)
        assert float(shares.max()) == 1.0


def test_half_of_all_images_are_flipped_alone_and_in_batches() -> None:
    standard, x = Standard("flip"), torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)
    alone = [
        standard(x, standard.draw(generator(0, "flip", i)))[0, 0, 0, 0].item() == 2.0 for i in range(400)
    ]
    assert 160 <= sum(alone) <= 240
    batch = standard(x.repeat(400, 1, 1, 1), standard.draw(generator(0, "flip"), 400))
    assert 160 <= int((batch[:, 0, 0, 0] == 2.0).sum()) <= 240


@pytest.mark.parametrize("ops", STRATEGIES)
def test_one_draw_does_the_same_to_a_whole_batch_and_to_another_one(ops: str, random_images: Images) -> None:
    standard = Standard(ops)
    real = random_images(7, 3, 16, 16).float()
    synthetic = real[2:5].clone()
    draw = standard.draw(generator(3, "siamese"))
    assert draw.uniforms.shape[0] == 1
    # A product with a matrix may sum in another order for another number of images.
    torch.testing.assert_close(standard(real, draw)[2:5], standard(synthetic, draw), rtol=1e-6, atol=1e-6)
    x = real[:1].repeat(24, 1, 1, 1)
    shared = standard(x, standard.draw(generator(1, "draw")))
    assert all(torch.equal(shared[0], image) for image in shared)
    single = standard(x, standard.draw(generator(1, "draw"), 24))
    assert len({image.numpy().tobytes() for image in single}) > 10


@pytest.mark.parametrize("samples", [None, 1, 7])
@pytest.mark.parametrize("ops", STRATEGIES)
def test_draws_are_the_uniforms_of_all_ops_and_nothing_else(ops: str, samples: int | None) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    draw = Standard(ops).draw(generator(5, "pin"), samples)
    columns = sum(UNIFORMS[op] for op in ops.split("_"))
    assert torch.equal(draw.uniforms, torch.rand(samples or 1, columns, generator=generator(5, "pin")))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("ops", STRATEGIES)
@pytest.mark.parametrize("samples", [None, 2])
def test_gradients_agree_with_finite_differences(
    ops: str, samples: int | None, random_images: Images
) -> None:
    standard = Standard(ops)
    draw = standard.draw(generator(4, "draw"), samples)
    x = random_images(2, 2, 5, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda images: standard(images, draw), (x,))


def test_a_strategy_of_two_crops_names_each_ops_own_place_in_the_draw(random_images: Images) -> None:
    both, x = augment.build("standard:rrc_crop"), random_images(3, 3, 8, 8)
    draw = both.draw(generator(0, "draw"), 3)
    first = Standard("rrc")(x, Draw(("rrc",), draw.uniforms[:, :22]))
    assert torch.equal(both(x, draw), Standard("crop")(first, Draw(("crop",), draw.uniforms[:, 22:])))


def test_an_op_of_another_family_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown op 'color' \(allowed: crop, flip, rrc\) in 'standard:color'"
    ):
        Standard("color")
    with pytest.raises(ConfigError, match=r"unknown op 'rrc'.* in 'crop_rrc'"):
        augment.build("crop_rrc")


@pytest.mark.gpu
@pytest.mark.parametrize("ops", STRATEGIES)
@pytest.mark.parametrize("samples", [None, 4])
def test_the_same_draw_does_the_same_on_a_gpu(ops: str, samples: int | None, random_images: Images) -> None:
    standard, x = Standard(ops), random_images(4, 3, 32, 32)
    draw = standard.draw(generator(6, "draw"), samples)
    torch.testing.assert_close(standard(x.cuda(), draw).cpu(), standard(x, draw))
