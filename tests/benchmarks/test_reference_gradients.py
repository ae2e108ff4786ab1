"""The plain loops of IDC and UDD compute what raydd's steps compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from benchmarks import flops as counting
from benchmarks import ours
from benchmarks.cases import gradients
from benchmarks.reference.idc import decode, distance
from benchmarks.reference.udd import contrast
from benchmarks.variants import Variant

SMALL = {**gradients.UDD_1, "classes": 3, "per_class": 20, "ipc": 2, "batch_real": 8, "width": 12}


def of_loop(loop: gradients.LoopWork) -> torch.Tensor:
    """The momentum of the loop's images: their gradients of the first step, those of early classes decayed."""
    return loop.loop.optimizer.state[loop.loop.data]["momentum_buffer"]


@pytest.mark.parametrize(
    ("method", "terms"), [("idc", {"gradient", "total"}), ("udd", {"gradient", "cfc", "total"})]
)
def test_losses_and_image_gradients_are_ours(method: str, terms: set[str], eager: Variant) -> None:
    loop = gradients.LoopWork(method, SMALL)
    work = gradients.StepWork(method, eager, SMALL, threads=1)
    loop.prepare()
    loop.run()
    work.run()
    assert set(loop.values()) == terms
    assert loop.values() == pytest.approx(work.values(), rel=1e-4)
    mine = work.distiller.optimiser.velocity.flatten(0, 1)
    assert of_loop(loop).norm() > 0.1
    for one, other in zip(of_loop(loop).split(SMALL["ipc"]), mine.split(SMALL["ipc"])):
        assert (one - other).norm() / one.norm() < 1e-2

    # Later steps have other real images and augmentations, and momentum.
    for _ in range(3):
        loop.prepare()
        loop.run()
        work.run()
        assert loop.values() == pytest.approx(work.values(), rel=1e-3)
    assert torch.allclose(loop.loop.data, work.distiller.pixels.flatten(0, 1), atol=1e-3)
    assert not torch.allclose(loop.loop.data, ours.initial_parts(loop.data, 2, 2, unit=True), atol=1e-3)


def test_the_step_size_is_the_one_that_the_authors_scale() -> None:
    for ipc, expected in ((10, 5e-3), (1, 5e-4)):
        loop = gradients.LoopWork("idc", {**SMALL, "ipc": ipc})
        assert loop.loop.optimizer.param_groups[0]["lr"] == pytest.approx(expected)


def test_regions_and_contrast_matter_to_the_loop() -> None:
    totals = []
    for method, changes in (("udd", {}), ("udd", {"lambda_cfc": 0.0}), ("idc", {})):
        loop = gradients.LoopWork(method, {**SMALL, **changes})
        loop.prepare()
        loop.run()
        totals.append(loop.values()["total"])
    assert totals[0] - totals[1] > 0.1
    assert abs(totals[1] - totals[2]) > 1e-3 * totals[2]


def test_all_sides_are_given_the_same_regions_whatever_their_precision() -> None:
    boxes = ours.regions(SMALL, ours.splits(SMALL))
    assert boxes.shape == (6, 4, 3)
    for precision in ("fp32", "mixed", "bf16"):
        work = gradients.StepWork("udd", Variant(precision, precision), SMALL, threads=1)
        udd: Any = work.distiller
        assert torch.equal(udd.regions.flatten(0, 1), boxes)


def test_the_parts_are_those_of_our_decoding(eager: Variant) -> None:
    distiller = ours.distiller_on_gradients("idc", SMALL, ours.splits(SMALL), eager)
    decoded = distiller.decode(distiller.pixels[1:2]).squeeze(0)
    by_part = decoded.unflatten(0, (2, 4)).transpose(0, 1).flatten(0, 1)
    assert torch.equal(decode(distiller.pixels[1], 2), by_part)


def test_sizes_that_the_factor_does_not_divide_are_padded_with_grey() -> None:
    whole = torch.full((1, 1, 5, 5), 0.25)
    parts = decode(whole, 2)
    assert parts.shape == (4, 1, 5, 5)
    assert torch.equal(parts[0], whole[0])
    assert parts[3, 0, -1, -1].item() == 0.5


def test_the_distance_takes_the_convolutions_alone() -> None:
    stream = torch.Generator().manual_seed(0)
    shapes = [(2, 3, 3, 3), (2,), (4, 5), (3, 2, 1, 1)]
    real, syn = ([torch.randn(shape, generator=stream) for shape in shapes] for _ in range(2))
    expected = (real[0] - syn[0]).square().sum() + (real[3] - syn[3]).square().sum()
    assert distance(real, syn).item() == pytest.approx(expected.item())


def test_the_contrast_is_a_cross_entropy_of_cosines() -> None:
    stream = torch.Generator().manual_seed(0)
    prototypes, mean = torch.randn(4, 6, generator=stream), torch.randn(6, generator=stream)
    cosines = F.cosine_similarity(mean.double().unsqueeze(0), prototypes.double())
    for c in range(4):
        expected = -(cosines[c] / 0.5 - torch.logsumexp(cosines / 0.5, 0))
        assert contrast(mean, prototypes, c, 0.5).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("method", ["idc", "udd"])
def test_the_flops_are_those_of_the_loop_that_runs(method: str) -> None:
    loop = gradients.LoopWork(method, SMALL)
    loop.prepare()
    counted = counting.count(loop.run)
    parts = gradients.flops(method, SMALL)
    assert set(parts) == {"real", "synthetic", "unused"}
    assert min(parts.values()) > 0
    assert sum(parts.values()) == counted


def test_our_step_skips_what_the_flops_call_unused(eager: Variant) -> None:
    work = gradients.StepWork("idc", eager, SMALL, threads=1)
    counted = counting.count(work.run)
    parts = gradients.flops("idc", SMALL)
    needed = parts["real"] + parts["synthetic"]
    assert needed <= counted < 1.03 * needed
