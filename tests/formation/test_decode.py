"""The decode specification: cells against a loop over pixels, counts against a loop over images."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from raydd.errors import ArtifactError
from raydd.formation import cell_views, cells_spec, check_decode, crop_regions, decode, view_sources, views

IDENTITY = {"kind": "identity"}


def random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize(("size", "factor"), [(32, 3), (8, 3), (8, 2), (28, 3), (6, 4)])
def test_cells_equal_a_loop_over_padded_pixels(size, factor, enlarged) -> None:
    pixels = random(2, 2, size, size, dtype=torch.float64)
    side = math.ceil(size / factor)
    found = cell_views(pixels, factor, pad=0.5)
    assert found.shape == (2, factor**2, 2, size, size)
    for image in range(2):
        padded = np.full((2, size + factor, size + factor), 0.5)
        padded[:, :size, :size] = pixels[image].numpy()
        for row in range(factor):
            for column in range(factor):
                crop = padded[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
                expected = torch.from_numpy(enlarged(crop, size, size))
                torch.testing.assert_close(found[image, row * factor + column], expected)


@pytest.mark.parametrize(
    "spec", [IDENTITY, *({"kind": "cells", "factor": 1, "form": f} for f in ("single", "multi"))]
)
def test_one_cell_is_the_image_itself_bit_for_bit(spec) -> None:
    pixels = torch.randn(2, 3, 1, 9, 9)
    pixels[0, 0, 0, 0, 0] = torch.inf  # no arithmetic touches it
    assert torch.equal(decode(pixels, spec), pixels)
    assert views(spec, 3) == 3


def test_single_gives_the_cells_image_by_image_row_by_row() -> None:
    pixels = torch.arange(2 * 3 * 4.0).view(2, 3, 1, 2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    seen = decode(pixels, cells_spec(2))  # every cell is filled with one number
    assert seen.shape == (2, 12, 1, 4, 4)
    assert torch.equal(seen[:, :, 0, 0, 0], torch.arange(24.0).view(2, 12))
    assert torch.equal(seen, seen[..., :1, :1].expand_as(seen))


def test_multi_is_every_factor_in_turn() -> None:
    pixels, spec = random(2, 3, 2, 8, 8), cells_spec(3, "multi")
    seen = decode(pixels, spec, pad=0.5)
    parts = [decode(pixels, cells_spec(factor), pad=0.5) for factor in (1, 2, 3)]
    assert torch.equal(seen, torch.cat(parts, dim=1))
    assert views(spec, 3) == seen.shape[1] == 3 * (1 + 4 + 9)


def images_by_factor(factor: int, ipc: int, bound: int) -> list[int]:
    """How many images every factor from `factor` down to 1 gets, image by image."""
    taken = []
    total, left = 0, ipc
    for each in range(factor, 0, -1):
        count = 0
        room = bound - total - left
        while count < left and (each == 1 or (count + 1) * each**2 <= room):
            count += 1
        taken.append(count)
        total += count * each**2
        left -= count
    return taken


@pytest.mark.parametrize("bound", [1, 5, 20, 128])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bound_counts_equal_a_loop(factor: int, bound: int) -> None:
    for ipc in range(1, 60):
        counts = images_by_factor(factor, ipc, bound)
        expected = sum(count * each**2 for count, each in zip(counts, range(factor, 0, -1)))
        spec = cells_spec(factor, "bound", bound)
        assert views(spec, ipc) == expected == len(view_sources(spec, ipc))
        assert sum(counts) == ipc
        assert expected <= max(bound, ipc)


def test_bound_at_the_authors_setting() -> None:
    # IPC 20, factor 3: 108 // 9 = 12 images by 3, (128 - 108 - 8) // 4 = 3 by 2, the last 5 whole
    spec = cells_spec(3, "bound")
    assert spec["bound"] == 128
    assert views(spec, 20) == 12 * 9 + 3 * 4 + 5
    pixels = random(2, 20, 1, 9, 9)
    parts = [
        decode(pixels[:, :12], cells_spec(3)),
        decode(pixels[:, 12:15], cells_spec(2)),
        pixels[:, 15:],
    ]
    assert torch.equal(decode(pixels, spec), torch.cat(parts, dim=1))


@pytest.mark.parametrize(
    "spec",
    [IDENTITY, cells_spec(2), cells_spec(3, "multi"), cells_spec(2, "bound", 9), cells_spec(2, "bound", 3)],
)
@pytest.mark.parametrize("regions", [0, 2])
def test_views_and_their_sources_say_what_decode_does(spec, regions) -> None:
    pixels = torch.arange(2 * 5.0).view(2, 5, 1, 1, 1).expand(2, 5, 1, 6, 6)
    boxes = torch.tensor([[0, 1, 3], [2, 2, 4]]).expand(2, 5, 2, 3) if regions else None
    # padding is left out of the sources: 6 px are divided by 2 and by 3
    seen = decode(pixels, spec, boxes)
    assert views(spec, 5, regions) == seen.shape[1]
    assert torch.equal(seen[0, :, 0, 0, 0].long(), view_sources(spec, 5, regions))
    assert torch.equal(seen[1, :, 0, 0, 0].long(), view_sources(spec, 5, regions) + 5)


def test_regions_follow_the_cells_image_by_image() -> None:
    pixels = random(2, 3, 2, 8, 8)
    boxes = torch.tensor([[[0, 0, 4], [1, 3, 5]], [[2, 2, 4], [0, 0, 8]], [[5, 5, 3], [4, 4, 4]]]).repeat(
        2, 1, 1, 1
    )
    seen = decode(pixels, cells_spec(2), boxes)
    assert torch.equal(seen[:, :12], decode(pixels, cells_spec(2)))
    expected = crop_regions(pixels.flatten(0, 1), boxes.flatten(0, 1)).view(2, 6, 2, 8, 8)
    assert torch.equal(seen[:, 12:], expected)
    assert torch.equal(seen[1, 12 + 3], pixels[1, 1])  # the box that is the whole image


def test_a_class_is_decoded_alike_alone_and_among_others() -> None:
    pixels, boxes = random(3, 2, 1, 8, 8), torch.randint(0, 4, (3, 2, 2, 3)) + torch.tensor([0, 0, 1])
    for spec in (IDENTITY, cells_spec(3, "multi"), cells_spec(2, "bound", 5)):
        together = decode(pixels, spec, boxes)
        assert torch.equal(together[1:2], decode(pixels[1:2], spec, boxes[1:2]))


@pytest.mark.parametrize("spec", [cells_spec(3), cells_spec(2, "multi"), cells_spec(2, "bound", 6)])
def test_gradients_reach_the_pixels(spec) -> None:
    pixels = random(1, 2, 1, 5, 5, dtype=torch.float64).requires_grad_()
    boxes = torch.tensor([[[[0, 1, 3]], [[2, 2, 2]]]])
    assert torch.autograd.gradcheck(lambda x: decode(x, spec, boxes, pad=0.5), pixels)


def test_the_specification_of_cells_is_the_identity_at_factor_1() -> None:
    assert cells_spec(1) == cells_spec(1, "multi") == cells_spec(1, "bound") == IDENTITY
    assert cells_spec(2) == {"kind": "cells", "factor": 2, "form": "single"}
    assert cells_spec(3, "bound", 64) == {"kind": "cells", "factor": 3, "form": "bound", "bound": 64}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"kind": "factor", "factor": 2}, r"\{'kind': 'factor', .*\}: its kind must be identity or cells$"),
        ({}, r"decode specification \{\}: its kind must be identity or cells$"),
        ("identity", r"decode specification 'identity': its kind must be identity or cells$"),
        ({"kind": "identity", "factor": 2}, "its fields must be kind$"),
        ({"kind": "cells", "factor": 2}, "its form must be one of single, multi, bound$"),
        ({"kind": "cells", "form": "single"}, "its fields must be kind, factor, form$"),
        (
            {"kind": "cells", "factor": 2, "form": "single", "bound": 3},
            "its fields must be kind, factor, form$",
        ),
        ({"kind": "cells", "factor": 2, "form": "bound"}, "its fields must be kind, factor, form, bound$"),
        ({"kind": "cells", "factor": 0, "form": "multi"}, "its factor must be a whole number of at least 1$"),
        (
            {"kind": "cells", "factor": 2.0, "form": "multi"},
            "its factor must be a whole number of at least 1$",
        ),
        ({"kind": "cells", "factor": True, "form": "multi"}, "its factor must be a whole number"),
        (
            {"kind": "cells", "factor": 2, "form": "bound", "bound": 0},
            "its bound must be a whole number of at le",
        ),
    ],
)
def test_what_cannot_be_applied_is_refused_with_what_is_allowed(spec, sentence) -> None:
    for use in (
        check_decode,
        lambda spec: views(spec, 2),
        lambda spec: decode(torch.zeros(1, 2, 1, 8, 8), spec),
    ):
        with pytest.raises(ArtifactError, match=sentence):
            use(spec)


def test_cells_of_padding_alone_are_refused() -> None:
    for size, factor in ((8, 5), (4, 6)):
        sentence = f"must leave a pixel in every cell, and {size} px are too few for {factor} cells a side"
        with pytest.raises(ArtifactError, match=sentence):
            decode(torch.zeros(1, 1, 1, size, size), cells_spec(factor))
    with pytest.raises(ArtifactError, match="its form must be one of"):
        cells_spec(2, "double")
