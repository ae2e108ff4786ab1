"""The plain training with a teacher's labels computes what raydd's computes."""

from __future__ import annotations

import pytest
import torch

from benchmarks import flops as counting
from benchmarks.cases import soft_labels
from benchmarks.variants import Variant

SMALL = {**soft_labels.QUICK, "classes": 3, "width": 4}


def test_the_trained_student_is_ours(eager: Variant) -> None:
    loop, work = soft_labels.LoopWork(SMALL), soft_labels.StudentWork(eager, SMALL)
    loop.run()
    work.run()
    assert loop.values() == pytest.approx(work.values(), rel=1e-3)
    mine = torch.cat([weight.flatten() for weight in work.net.parameters()])
    theirs = torch.cat([weight.flatten() for weight in loop.net.parameters()])
    given = torch.cat([weight.flatten() for weight in loop.given.parameters()])
    assert (mine - theirs).norm() < 0.05 * (theirs - given).norm()


def test_the_flops_are_those_of_the_loop_that_runs() -> None:
    loop = soft_labels.LoopWork(SMALL)
    assert sum(soft_labels.flops(SMALL).values()) == counting.count(loop.run)
