"""The plain loop of IDM computes what raydd's step computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks import flops as counting
from benchmarks import ours
from benchmarks.cases import queue
from benchmarks.reference.idm import expand
from benchmarks.variants import Variant

SMALL = {
    **queue.QUICK,
    "classes": 3,
    "per_class": 20,
    "batch_real": 8,
    "batch_train": 16,
    "width": 12,
}


def of_loop(loop: queue.LoopWork) -> torch.Tensor:
    """The momentum of the loop's images."""
    return loop.loop.optimizer.state[loop.loop.image_syn]["momentum_buffer"]


def test_losses_and_image_gradients_are_ours(eager: Variant) -> None:
    loop = queue.LoopWork(SMALL)
    work = queue.StepWork(eager, SMALL, threads=1)
    mine = work.distiller.optimiser.velocity.flatten(0, 1)
    assert of_loop(loop).norm() > 0.1
    assert (mine - of_loop(loop)).norm() / of_loop(loop).norm() < 1e-2
    for iteration in (1, 2):
        loop.prepare()
        loop.run()
        work.run()
        assert set(loop.values()) == {"dm", "ce", "total"}
        assert loop.values() == pytest.approx(work.values(), rel=1e-3), iteration
        mine = work.distiller.optimiser.velocity.flatten(0, 1)
        assert (mine - of_loop(loop)).norm() / of_loop(loop).norm() < 1e-2
    assert torch.allclose(loop.loop.image_syn, work.distiller.pixels.flatten(0, 1), atol=0.05)
    theirs = [member.correct for member in loop.loop.queue]
    assert theirs == pytest.approx([member.hits for member in ahead(work).queue], abs=1)


def ahead(work: queue.StepWork) -> Any:
    """The distiller's queue, brought to the end of its iteration, where the loop's stands."""
    work.distiller.real_side.at(work.distiller.iteration)
    return work.distiller.real_side


def test_the_cross_entropy_acts_in_every_iteration_that_is_measured() -> None:
    loop = queue.LoopWork(SMALL)
    for _ in range(3):
        loop.prepare()
        accuracy = loop.loop.queue[loop.draws.matched].accuracy()
        loop.run()
        found = loop.values()
        assert accuracy > 0.0
        assert found["total"] == pytest.approx(found["dm"] + 0.5 * accuracy * found["ce"])


def test_a_network_joins_when_the_queue_s_time_has_come() -> None:
    loop = queue.LoopWork(SMALL)
    assert len(loop.loop.queue) == 2
    loop.iteration = queue.JOINING_EVERY
    loop.prepare()
    loop.run()
    assert len(loop.loop.queue) == loop.joined == 3


def test_the_parts_are_those_of_our_decoding(eager: Variant) -> None:
    data = ours.splits(SMALL)
    distiller = ours.distiller_on_queue(SMALL, data, eager)
    views, labels = expand(distiller.pixels[1], torch.full((2,), 1))
    decoded = distiller.decode(distiller.pixels[1:2]).squeeze(0)
    assert labels.tolist() == [1] * 8
    # ours go image by image and row by row, the loop's part by part and column by column
    by_part = decoded.unflatten(0, (2, 2, 2)).permute(2, 1, 0, 3, 4, 5).flatten(0, 2)
    assert torch.equal(views, by_part)


def test_the_flops_are_those_of_the_loop_that_runs() -> None:
    loop = queue.LoopWork(SMALL)
    loop.prepare()
    counted = counting.count(loop.run)
    parts = queue.flops(SMALL)
    assert set(parts) == {"real", "synthetic", "training", "unused"}
    assert min(parts.values()) > 0
    assert sum(parts.values()) == counted


def test_our_step_skips_what_the_flops_call_unused(eager: Variant) -> None:
    work = queue.StepWork(eager, SMALL, threads=1)
    counted = counting.count(work.run)
    parts = queue.flops(SMALL)
    needed = sum(parts.values()) - parts["unused"]
    assert needed <= counted < 1.03 * needed
