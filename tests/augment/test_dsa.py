from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from raydd.augment import DSA, Draw
from raydd.errors import ConfigError
from raydd.seeding import generator

OPS = ["color", "crop", "cutout", "flip", "scale", "rotate"]
STRATEGY = "_".join(OPS)
LARGEST = 1.0 - 2.0**-24  # the largest float32 that torch.rand gives

UNIFORMS = {"color": 3, "crop": 2, "cutout": 2, "flip": 1, "scale": 2, "rotate": 1}

Images = Callable[..., torch.Tensor]
Loops = dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 9, 6), (3, 28, 28)])
@pytest.mark.parametrize("shared", [True, False])
def test_an_op_equals_its_equation_in_float64_loops(
    op: str, shape: tuple[int, int, int], shared: bool, loops: Loops, random_images: Images
) -> None:
    dsa, x = DSA(op), random_images(4, *shape)
    for attempt in range(2):
        draw = dsa.draw(generator(attempt, "draw"), None if shared else 4)
        assert draw.op == op
        out = dsa(x, draw).numpy()
        for i in range(4):
            u = draw.uniforms[0 if shared else i].double().numpy()
            np.testing.assert_allclose(out[i], loops[op](x[i].numpy(), u), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("u", [0.0, LARGEST])
@pytest.mark.parametrize("rows", [1, 3])
def test_the_ends_of_the_unit_interval_stay_inside_the_op(
    op: str, u: float, rows: int, loops: Loops, random_images: Images
) -> None:
    dsa, x = DSA(op), random_images(3, 3, 32, 32)
    draw = dsa.draw(generator(0, "draw"), rows)
    extreme = Draw((op,), torch.full_like(draw.uniforms, u))
    expected = [loops[op](image.numpy(), extreme.uniforms[0].double().numpy()) for image in x]
    np.testing.assert_allclose(dsa(x, extreme).numpy(), np.stack(expected), rtol=1e-9, atol=1e-12)


def test_crop_shifts_a_32_px_image_by_at_most_four_pixels_and_cutout_zeroes_at_most_a_quarter() -> None:
    dsa, ones = DSA("crop_cutout"), torch.ones(256, 1, 32, 32)
    kept = dsa(ones, Draw(("crop",), torch.rand(256, 2, generator=generator(0, "u")))).flatten(1).mean(1)
    assert float(kept.min()) == (28 / 32) ** 2
    assert float(kept.max()) == 1.0
    left = dsa(ones, Draw(("cutout",), torch.rand(256, 2, generator=generator(1, "u")))).flatten(1).mean(1)
    assert float(left.min()) == 0.75
    assert 0.75 < float(left.max()) <= 1 - 0.25 / 4


@pytest.mark.parametrize("op", OPS)
def test_one_draw_does_the_same_to_two_batches_of_different_size(op: str, random_images: Images) -> None:
    dsa = DSA(op)
    real = random_images(7, 3, 16, 16).float()
    synthetic = real[2:5].clone()
    draw = dsa.draw(generator(3, "siamese"))
    assert draw.uniforms.shape[0] == 1
    assert torch.equal(dsa(real, draw)[2:5], dsa(synthetic, draw))


@pytest.mark.parametrize("op", OPS)
def test_matching_shares_parameters_and_evaluation_draws_them_for_each_sample(
    op: str, random_images: Images
) -> None:
    dsa, x = DSA(op), random_images(1, 3, 16, 16).repeat(24, 1, 1, 1)
    shared = dsa(x, dsa.draw(generator(0, "draw")))
    assert all(torch.equal(shared[0], image) for image in shared)
    single = dsa(x, dsa.draw(generator(0, "draw"), 24))
    assert any(not torch.equal(single[0], image) for image in single)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("samples", [None, 2])
def test_gradients_agree_with_finite_differences(op: str, samples: int | None, random_images: Images) -> None:
    dsa = DSA(op)
    draw = dsa.draw(generator(4, "draw"), samples)
    x = random_images(2, 2, 5, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda images: dsa(images, draw), (x,))


def test_every_op_of_the_strategy_is_equally_likely() -> None:
    dsa = DSA(STRATEGY)
    counts = Counter(dsa.draw(generator(0, "op", i)).op for i in range(1200))
    assert set(counts) == set(OPS)
    assert all(150 <= count <= 250 for count in counts.values())  # 200 +- 3.9 standard deviations
    assert "flip" not in {DSA("color_crop").draw(generator(0, "op", i)).op for i in range(100)}


@pytest.mark.parametrize("samples", [None, 1, 7])
def test_draws_are_one_integer_and_then_the_uniforms_of_its_op(samples: int | None) -> None:
    """Existing studies rest on these bits."""
    dsa = DSA(STRATEGY)
    for attempt in range(20):
        draw = dsa.draw(generator(attempt, "pin"), samples)
        stream = generator(attempt, "pin")
        op = OPS[torch.randint(6, (1,), generator=stream).item()]
        assert (draw.op, draw.ops) == (op, (op,))
        assert torch.equal(draw.uniforms, torch.rand(samples or 1, UNIFORMS[op], generator=stream))
        assert draw.uniforms.dtype == torch.float32


def test_half_of_all_images_are_flipped_alone_and_in_batches() -> None:
    dsa, x = DSA("flip"), torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)
    alone = [dsa(x, dsa.draw(generator(0, "flip", i)))[0, 0, 0, 0].item() == 2.0 for i in range(400)]
    assert 160 <= sum(alone) <= 240
    batch = dsa(x.repeat(400, 1, 1, 1), dsa.draw(generator(0, "flip"), 400))
    assert 160 <= int((batch[:, 0, 0, 0] == 2.0).sum()) <= 240


def test_draws_come_from_the_generator_alone() -> None:
    dsa = DSA(STRATEGY)
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    one, other = dsa.draw(generator(5, "draw"), 9), dsa.draw(generator(5, "draw"), 9)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one.op == other.op
    assert torch.equal(one.uniforms, other.uniforms)
    assert one.uniforms.device.type == "cpu"


@pytest.mark.parametrize("strategy", ["", "none"])
def test_no_strategy_is_the_identity(strategy: str, random_images: Images) -> None:
    dsa, x = DSA(strategy), random_images(3, 1, 8, 8)
    for samples in (None, 3):
        assert torch.equal(dsa(x, dsa.draw(generator(0, "draw"), samples)), x)


def test_an_unknown_op_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown op 'colour': did you mean 'color'.* in 'colour_crop'"):
        DSA("colour_crop")


def test_a_draw_for_another_number_of_samples_is_refused(random_images: Images) -> None:
    dsa = DSA("color")
    with pytest.raises(ValueError, match="draw for 4 samples applied to 3"):
        dsa(random_images(3, 1, 8, 8), dsa.draw(generator(0, "draw"), 4))


@pytest.mark.gpu
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("samples", [None, 4])
def test_the_same_draw_does_the_same_on_a_gpu(op: str, samples: int | None, random_images: Images) -> None:
    dsa, x = DSA(op), random_images(4, 3, 32, 32)
    draw = dsa.draw(generator(6, "draw"), samples)
    torch.testing.assert_close(dsa(x.cuda(), draw).cpu(), dsa(x, draw))
