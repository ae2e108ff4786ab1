"""Scores of windows against plain loops in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from raydd import nets
from raydd.devices import Compute
from raydd.distillation import scores
from raydd.distillation.scores import crop_scores, jitter_scores, mean_in_windows, placed
from raydd.distillation.windows import sources, windows
from raydd.nets import Passes
from raydd.normalisation import Normalisation
from raydd.seeding import generator

NORMALISATION = Normalisation((0.5, 0.25, 0.5), (0.5, 0.25, 0.125))


def setting(size: int = 8, images: int = 3) -> tuple[nets.Network, torch.Tensor, torch.Tensor, Passes]:
    net = nets.build("convnet-w4", channels=3, size=size, classes=4, generator=generator(0, "test")).double()
    pixels = torch.rand(images, 3, size, size, generator=generator(1, "x"), dtype=torch.float64)
    compute = Compute(torch.device("cpu"))
    return (
        net,
        pixels,
        torch.tensor([3, 0, 2])[:images],
        Passes(compute, image_gradient=False, batch=7, size=size),
    )


def upsampled(crop: torch.Tensor, size: int) -> torch.Tensor:
    return F.interpolate(crop[None], size=(size, size), mode="bilinear", align_corners=False)[0]


def seen(net: nets.Network, view: torch.Tensor) -> torch.Tensor:
    """Logits of one view in [0, 1] pixels."""
    with torch.no_grad():
        return net(
            torch.stack([(view[c] - NORMALISATION.mean[c]) / NORMALISATION.std[c] for c in range(3)])[None]
        )[0]


def test_means_in_windows_equal_their_loop() -> None:
    maps = torch.randn(2, 10, 10, generator=generator(4, "maps"))
    candidates = windows(10, 3, (0.5, 0.3))
    found = mean_in_windows(maps, candidates)
    for n in range(2):
        for m, (y0, x0, side) in enumerate(candidates.tolist()):
            total = sum(float(maps[n, y, x]) for y in range(y0, y0 + side) for x in range(x0, x0 + side))
            assert float(found[n, m]) == pytest.approx(total / side**2, rel=1e-6, abs=1e-7)


def test_windows_of_all_sizes_of_a_constant_map_tie_to_the_bit() -> None:
    found = mean_in_windows(torch.full((1, 33, 33), 0.1), windows(33, 4, (1 / 3, 0.5, 5 / 6)))
    assert torch.equal(found, torch.full_like(found, 0.1))


def test_windows_are_placed_at_the_corner_of_their_source() -> None:
    at = placed(windows(4, 2, 0.5), sources(8, 2))
    assert at.shape == (4, 4, 3)
    assert at[3].tolist() == [[4, 4, 2], [4, 6, 2], [6, 4, 2], [6, 6, 2]]


@pytest.mark.parametrize("views_at_once", [1, 10**6])
def test_crop_scores_are_the_true_classs_logit_of_each_upsampled_box(monkeypatch, views_at_once: int) -> None:
    monkeypatch.setattr(scores, "SCORE_PIXELS", views_at_once * 64)
    net, pixels, labels, passes = setting()
    boxes = placed(windows(4, 2, 0.5), sources(8, 2)).flatten(0, 1)
    found = crop_scores(net, pixels, labels, boxes, NORMALISATION, passes)
    assert found.shape == (3, 16)
    for n in range(3):
        for b, (y, x, side) in enumerate(boxes.tolist()):
            logits = seen(net, upsampled(pixels[n, :, y : y + side, x : x + side], 8))
            assert float(found[n, b]) == pytest.approx(float(logits[labels[n]]), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("views_at_once", [1, 10**6])
@pytest.mark.parametrize(
    ("factor", "source"), [(1, "sub_image"), (2, "sub_image"), (3, "sub_image"), (2, "image")]
)
def test_jitter_scores_equal_their_loop(monkeypatch, views_at_once: int, factor: int, source: str) -> None:
    monkeypatch.setattr(scores, "SCORE_PIXELS", views_at_once * 64)
    net, pixels, _, passes = setting(images=2)
    places = sources(8, factor, source)
    candidates = windows(int(places[0, 2]), 2, 0.6)
    noise = 0.1 * torch.randn(3, 3, 8, 8, generator=generator(5, "noise"), dtype=torch.float64)
    found = jitter_scores(net, pixels, places, candidates, NORMALISATION, passes, noise)
    assert found.shape == (2, len(places), len(candidates))
    for n in range(2):
        for s, (y, x, side) in enumerate(places.tolist()):
            cell = pixels[n, :, y : y + side, x : x + side]
            clean = seen(net, upsampled(cell, 8))
            for m, (v, u, window) in enumerate(candidates.tolist()):
                changes = []
                for draw in noise:
                    jittered = cell.clone()
                    inside = draw[:, y + v : y + v + window, x + u : x + u + window]
                    jittered[:, v : v + window, u : u + window] += inside
                    difference = seen(net, upsampled(jittered, 8)) - clean
                    changes.append(sum(float(d) ** 2 for d in difference) ** 0.5)
                assert float(found[n, s, m]) == pytest.approx(sum(changes) / 3, rel=1e-9)


def test_pooled_windows_are_compared_by_their_change_for_each_unit_of_noise() -> None:
    net, pixels, _, passes = setting(images=2)
    places = sources(8, 1, "sub_image")
    both = windows(8, 3, (0.25, 0.75))
    noise = 0.1 * torch.randn(3, 3, 8, 8, generator=generator(5, "noise"), dtype=torch.float64)
    found = jitter_scores(net, pixels, places, both, NORMALISATION, passes, noise)
    for side in (2, 6):
        own = both[:, 2] == side
        alone = jitter_scores(net, pixels, places, both[own], NORMALISATION, passes, noise)
        torch.testing.assert_close(found[:, :, own], alone / side, rtol=1e-9, atol=0.0)
