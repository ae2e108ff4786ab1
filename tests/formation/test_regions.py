"""Regions: every box equals the enlarged slice, whatever stands around it, and gradients reach only the slice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from raydd.errors import ArtifactError
from raydd.formation import check_boxes, crop_regions


def random_boxes(images: int, regions: int, size: int) -> torch.Tensor:
    stream = torch.Generator().manual_seed(0)
    side = torch.randint(1, size + 1, (images, regions), generator=stream)
    corner = torch.rand(2, images, regions, generator=stream) * (size - side + 1)
    return torch.stack([*corner.long(), side], dim=-1)


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (32, 3)])
def test_regions_equal_interpolated_slices_bit_for_bit(size: int, channels: int) -> None:
    pixels = torch.randn(7, channels, size, size)
    boxes = random_boxes(7, 5, size)
    assert len(boxes[..., 2].unique()) > 4
    found = crop_regions(pixels, boxes)
    assert found.shape == (7, 5, channels, size, size)
    for image in range(7):
        for region, (y0, x0, side) in enumerate(boxes[image].tolist()):
            part = pixels[image : image + 1, :, y0 : y0 + side, x0 : x0 + side]
            whole = F.interpolate(part, size=(size, size), mode="bilinear", align_corners=False)
            assert torch.equal(found[image, region], whole[0])


def test_regions_equal_a_loop_over_pixels(enlarged) -> None:
    pixels = torch.rand(2, 2, 6, 6, dtype=torch.float64)
    found = crop_regions(pixels, torch.tensor([[[1, 2, 4]], [[0, 3, 3]]]))
    torch.testing.assert_close(found[0, 0], torch.from_numpy(enlarged(pixels[0, :, 1:5, 2:6].numpy(), 6, 6)))
    torch.testing.assert_close(found[1, 0], torch.from_numpy(enlarged(pixels[1, :, :3, 3:].numpy(), 6, 6)))


def test_nothing_outside_a_box_reaches_its_region() -> None:
    pixels = torch.full((1, 1, 8, 8), torch.nan)
    pixels[..., 2:5, 3:6] = 1.0
    assert torch.equal(crop_regions(pixels, torch.tensor([[[2, 3, 3]]])), torch.ones(1, 1, 1, 8, 8))
    beside_a_larger_one = crop_regions(pixels, torch.tensor([[[0, 0, 8], [2, 3, 3]]]))
    assert torch.equal(beside_a_larger_one[:, 1:], torch.ones(1, 1, 1, 8, 8))


def test_gradients_equal_finite_differences_also_where_boxes_overlap() -> None:
    pixels = torch.rand(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[[0, 0, 3], [1, 1, 3], [1, 2, 2]], [[0, 0, 4], [3, 3, 1], [0, 0, 3]]])
    assert torch.autograd.gradcheck(lambda x: crop_regions(x, boxes), pixels)
    (gradient,) = torch.autograd.grad(crop_regions(pixels, boxes[:, 1:2]).sum(), pixels)
    assert gradient[0].sum().item() == pytest.approx(
        16
    )  # each of 16 enlarged pixels is a mean of the slice's
    assert (gradient[0, 0, 0] == 0).all()
    assert (gradient[0, 0, :, 0] == 0).all()
    assert gradient[1, 0, 3, 3] == 16


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("sides", [(26,), (12, 20, 26)], ids=str)
def test_gradients_of_overlapping_boxes_are_the_same_bits_every_time_on_two_threads(
    two_threads: None, sides: tuple[int, ...]
) -> None:
    # enough boxes for torch to share the work among threads, and an odd number of images, so that threads share one
    stream = torch.Generator().manual_seed(0)
    pixels = torch.rand(51, 3, 32, 32, generator=stream)
    side = torch.tensor(sides)[torch.randint(len(sides), (51, 3), generator=stream)]
    corner = (torch.rand(2, 51, 3, generator=stream) * (33 - side)).long()
    boxes = torch.stack([*corner, side], dim=-1)
    pull = torch.randn(51, 3, 3, 32, 32, generator=stream)

    def once() -> tuple[torch.Tensor, torch.Tensor]:
        leaf = pixels.clone().requires_grad_()
        regions = crop_regions(leaf, boxes)
        return regions.detach(), torch.autograd.grad(regions, leaf, pull)[0]

    regions, gradient = once()
    for _ in range(40):
        again, its_gradient = once()
        assert torch.equal(again, regions)
        assert torch.equal(its_gradient, gradient)


def test_an_images_regions_are_the_same_bits_whatever_images_stand_beside_it() -> None:
    pixels, boxes = torch.rand(9, 3, 32, 32), random_boxes(9, 4, 32)
    together = crop_regions(pixels, boxes)
    for image in range(9):
        alone = crop_regions(pixels[image : image + 1], boxes[image : image + 1])
        assert torch.equal(alone[0], together[image])


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        (
            torch.zeros(2, 1, 3),
            r"boxes are torch.float32 of shape \(2, 1, 3\); allowed is torch.int64 of shape \(2, ",
        ),
        (
            torch.ones(3, 1, 3, dtype=torch.int64),
            r"of shape \(3, 1, 3\); allowed is .* \(2, at least 1, 3\)$",
        ),
        (torch.ones(2, 0, 3, dtype=torch.int64), r"of shape \(2, 0, 3\); allowed is"),
        (torch.ones(2, 1, 4, dtype=torch.int64), r"of shape \(2, 1, 4\); allowed is"),
        (torch.ones(2, 3, dtype=torch.int64), r"of shape \(2, 3\); allowed is"),
        (
            torch.tensor([[[0, 0, 8]], [[1, 0, 8]]]),
            r"box 0 of image 1 is \(y0, x0, side\) = \(1, 0, 8\); allowed are",
        ),
        (torch.tensor([[[0, 0, 8]], [[0, 5, 4]]]), r"windows of side >= 1 inside the 8 x 8 pixels$"),
        (torch.tensor([[[0, 0, 8]], [[-1, 0, 4]]]), r"= \(-1, 0, 4\)"),
        (torch.tensor([[[0, 0, 0]], [[0, 0, 4]]]), r"box 0 of image 0 is \(y0, x0, side\) = \(0, 0, 0\)"),
        (torch.tensor([[[2**62, 0, 2**62]], [[0, 0, 4]]]), r"box 0 of image 0"),  # whose sum overflows
    ],
)
def test_other_boxes_are_refused(boxes: torch.Tensor, sentence: str) -> None:
    for use in (lambda: check_boxes(boxes, 2, 8, 8), lambda: crop_regions(torch.zeros(2, 1, 8, 8), boxes)):
        with pytest.raises(ArtifactError, match=sentence):
            use()
