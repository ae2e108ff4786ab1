"""The plain recovery loop and the plain weight adjustment compute what raydd's compute."""

from __future__ import annotations

import pytest
import torch

from benchmarks import flops as counting
from benchmarks.cases import recovery
from benchmarks.reference.recovery import clip
from benchmarks.variants import Variant

SMALL = {**recovery.QUICK, "classes": 3, "width": 4, "k": 2}


def test_the_recovered_images_are_ours(eager: Variant) -> None:
    loop, work = recovery.RecoverLoop(SMALL), recovery.RecoverWork(eager, SMALL)
    before = loop.loop.inputs.detach().clone()
    for _ in range(3):
        loop.run()
        work.run()
        assert loop.values() == pytest.approx(work.values(), rel=1e-3)
    mine, theirs = work.distiller.pixels.flatten(0, 1), loop.loop.inputs.detach()
    assert (mine - theirs).abs().mean() < 1e-2 * (theirs - before).abs().mean()


def test_the_adjusted_weights_are_ours(eager: Variant) -> None:
    loop, work = recovery.AdjustLoop(SMALL), recovery.AdjustWork(eager, SMALL)
    for _ in range(2):  # every run starts from the trained weights
        loop.prepare()
        work.prepare()
        loop.run()
        work.run()
        assert loop.values() == pytest.approx(work.values(), rel=1e-4)
    assert 0.5 * SMALL["rho"] < loop.values()["distance"] <= SMALL["rho"] * (1 + 1e-5)


def test_pixels_stay_those_of_pictures() -> None:
    clipped = clip(torch.tensor([-9.0, 0.0, 9.0]).view(1, 1, 1, 3), [0.5], [0.25])
    assert clipped.flatten().tolist() == [-2.0, 0.0, 2.0]


def test_the_flops_leave_out_the_gradients_of_weights() -> None:
    recover, adjusted = (
        sum(recovery.recover_flops(SMALL).values()),
        sum(recovery.adjust_flops(SMALL).values()),
    )
    loop = recovery.AdjustLoop(SMALL)
    loop.images.requires_grad_(False)
    counted = counting.count(
        loop.run
    )  # with the gradient of the pixels, which the authors compute and nobody needs
    assert adjusted <= counted < 1.1 * adjusted
    assert 0.55 < recover / (adjusted / SMALL["k"]) < 0.75  # 2 of 3
