from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from raydd.augment import DSA, DiffAug, Draw
from raydd.errors import ConfigError
from raydd.seeding import generator

UNIFORMS = {"color": 3, "crop": 2, "cutout": 2, "flip": 1, "scale": 2, "rotate": 1}
ALL = "color_crop_cutout_flip_scale_rotate"

Images = Callable[..., torch.Tensor]
Loops = dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]


def columns(draw: Draw, row: int) -> list[np.ndarray]:
    """The uniforms of each op of a draw, for one image."""
    ends = np.cumsum([UNIFORMS[op] for op in draw.ops])
    return np.split(draw.uniforms[row].double().numpy(), ends[:-1])


@pytest.mark.parametrize(
    ("listed", "applied"),
    [
        ("color_crop_cutout", {("color", "crop", "cutout")}),
        ("color_crop", {("color", "crop")}),
        ("color", {("color",)}),
        ("cutout_flip", {("flip", "cutout")}),
        ("scale", {("scale",)}),
        ("crop_rotate", {("crop",), ("rotate",)}),
        (
            ALL,
            {
                ("flip", "color", "crop", "cutout"),
                ("flip", "color", "scale", "cutout"),
                ("flip", "color", "rotate", "cutout"),
            },
        ),
    ],
)
def test_flip_and_color_come_first_then_one_of_crop_scale_and_rotate_then_cutout(
    listed: str, applied: set[tuple[str, ...]]
) -> None:
    orders = itertools.islice(itertools.permutations(listed.split("_")), 24)  # how it is listed plays no part
    for order in orders:
        augment = DiffAug("_".join(order))
        assert {augment.draw(generator(0, "ops", i)).ops for i in range(30)} == applied


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 9, 6)])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("listed", [ALL, "color_crop_cutout"])
def test_a_call_equals_float64_loops_over_its_ops(
    listed: str, shape: tuple[int, int, int], shared: bool, loops: Loops, random_images: Images
) -> None:
    augment, x, seen = DiffAug(listed), random_images(4, *shape), set()
    for attempt in range(6):
        draw = augment.draw(generator(attempt, "draw"), None if shared else 4)
        seen |= set(draw.ops)
        out = augment(x, draw).numpy()
        for i in range(4):
            expected = x[i].numpy()
            for op, u in zip(draw.ops, columns(draw, 0 if shared else i), strict=True):
                expected = loops[op](expected, u)
            np.testing.assert_allclose(out[i], expected, rtol=1e-9, atol=1e-11)
    assert seen == set(listed.split("_"))


def test_the_ops_are_those_of_dsa(random_images: Images) -> None:
    x = random_images(5, 3, 16, 16).float()
    augment = DiffAug(ALL)
    for attempt in range(6):
        draw = augment.draw(generator(attempt, "draw"), 5)
        expected = x
        for op, u in zip(
            draw.ops, draw.uniforms.split([UNIFORMS[op] for op in draw.ops], dim=1), strict=True
        ):
            expected = DSA(op)(expected, Draw((op,), u))
        assert torch.equal(augment(x, draw), expected)


def test_each_of_crop_scale_and_rotate_is_drawn_as_often() -> None:
    augment = DiffAug(ALL)
    counts = Counter(augment.draw(generator(0, "op", i)).ops[2] for i in range(1200))
    assert set(counts) == {"crop", "scale", "rotate"}
    assert all(336 <= count <= 464 for count in counts.values())  # 400 +- 3.9 standard deviations


@pytest.mark.parametrize("samples", [None, 5])
def test_draws_are_one_integer_and_then_one_set_of_uniforms_a_row(samples: int | None) -> None:
    draw = DiffAug("color_crop_cutout_rotate").draw(generator(3, "pin"), samples)
    stream = generator(3, "pin")
    op = ("crop", "rotate")[torch.randint(2, (1,), generator=stream).item()]
    assert draw.ops == ("color", op, "cutout")
    assert torch.equal(draw.uniforms, torch.rand(samples or 1, 5 + UNIFORMS[op], generator=stream))


def test_one_set_of_parameters_serves_all_images_or_each_has_its_own(random_images: Images) -> None:
    augment, x = DiffAug(ALL), random_images(1, 3, 16, 16).repeat(24, 1, 1, 1)
    for attempt in range(6):
        shared = augment(x, augment.draw(generator(attempt, "draw")))
        assert all(torch.equal(shared[0], image) for image in shared)
        single = augment(x, augment.draw(generator(attempt, "draw"), 24))
        assert len({tuple(image.flatten().tolist()) for image in single}) == 24


def test_one_draw_does_the_same_to_two_batches_of_different_size(random_images: Images) -> None:
    augment = DiffAug("color_crop_cutout")
    real = random_images(7, 3, 16, 16).float()
    synthetic = real[2:5].clone()
    draw = augment.draw(generator(3, "siamese"))
    torch.testing.assert_close(augment(real, draw)[2:5], augment(synthetic, draw), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("samples", [None, 2])
def test_gradients_agree_with_finite_differences(samples: int | None, random_images: Images) -> None:
    augment = DiffAug(ALL)
    for attempt in range(3):
        draw = augment.draw(generator(attempt, "draw"), samples)
        x = random_images(2, 2, 5, 6).requires_grad_()
        assert torch.autograd.gradcheck(lambda images, draw=draw: augment(images, draw), (x,))


def test_draws_come_from_the_generator_alone() -> None:
    augment = DiffAug(ALL)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    one, other = augment.draw(generator(5, "draw"), 9), augment.draw(generator(5, "draw"), 9)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one.ops == other.ops
    assert torch.equal(one.uniforms, other.uniforms)


def test_an_unknown_op_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown op 'cut': did you mean 'cutout'.* in 'idc:color_cut'"):
        DiffAug("color_cut")


def test_a_draw_for_another_number_of_samples_is_refused(random_images: Images) -> None:
    augment = DiffAug("color_cutout")
    with pytest.raises(ValueError, match="draw for 4 samples applied to 3"):
        augment(random_images(3, 1, 8, 8), augment.draw(generator(0, "draw"), 4))


@pytest.mark.gpu
@pytest.mark.parametrize("samples", [None, 4])
def test_the_same_draw_does_the_same_on_a_gpu(samples: int | None, random_images: Images) -> None:
    augment, x = DiffAug(ALL), random_images(4, 3, 32, 32)
    for attempt in range(3):
        draw = augment.draw(generator(attempt, "draw"), samples)
        torch.testing.assert_close(augment(x.cuda(), draw).cpu(), augment(x, draw))
