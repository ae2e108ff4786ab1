"""The plain training of IDC's network computes what raydd's network update computes."""

from __future__ import annotations

import pytest
import torch

from benchmarks import flops as counting
from benchmarks import ours
from benchmarks.cases import net_update
from benchmarks.reference.net_update import hits, reach
from benchmarks.variants import Variant

SMALL = {**net_update.QUICK, "classes": 3, "per_class": 20, "n_data": 40, "batch_train": 16, "width": 12}


def test_the_trained_weights_are_ours(eager: Variant) -> None:
    loop = net_update.LoopWork(SMALL)
    work = net_update.UpdateWork(eager, SMALL, threads=1)
    before = net_update._losses(loop.net, *loop.shown)["loss"]
    for _ in range(3):
        loop.run()
        work.run()
        assert loop.values() == pytest.approx(work.values(), rel=1e-3)
    assert work.side.net is not None
    for one, other in zip(loop.net.parameters(), work.side.net.net.parameters(), strict=True):
        assert torch.allclose(one, other, rtol=1e-2, atol=1e-4)
    assert abs(loop.values()["loss"] - before) > 1e-2 * before


def test_cutmix_matters_to_the_loop() -> None:
    found = []
    for cutmix in (0.0, 0.5, 1.0):
        loop = net_update.LoopWork({**SMALL, "cutmix": cutmix})
        loop.run()
        found.append(loop.values()["loss"])
    assert len({round(loss, 5) for loss in found}) == 3


def test_the_number_of_images_is_rounded_up_to_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = net_update.LoopWork(SMALL)
    sizes: list[int] = []
    draw = ours.update_draw

    def noted(*arguments: object) -> object:
        sizes.append(arguments[3])  # type: ignore[arg-type]
        return draw(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ours, "update_draw", noted)
    loop.run()
    assert sizes == [16, 16, 16]


def test_the_box_is_clipped_at_the_border() -> None:
    assert reach(32, 0.5, 0.25) == (8, 24)
    assert reach(32, 0.0, 0.25) == (0, 8)
    assert reach(32, 0.99, 1.0) == (15, 32)
    assert reach(32, 0.5, 0.0) == (16, 16)


def test_hits_are_counted_in_percent() -> None:
    output = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [0.0, 1.0, 2.0]])
    assert hits(output, torch.tensor([0, 2, 0, 1])) == (50.0, 100.0)


def test_the_flops_are_those_of_the_loop_that_runs() -> None:
    loop = net_update.LoopWork(SMALL)
    assert sum(net_update.flops(SMALL).values()) == counting.count(loop.run)
