"""IDM, IDC and UDD, whose networks are trained on the way, keep their promises of bits compiled and mixed too."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from raydd import nets
from raydd.data import DataSplits
from raydd.devices import Compute
from raydd.distillation import IDC, IDM, UDD, Matching
from raydd.nets import Passes
from raydd.registry import Context
from trainables.idc import IDCHyperparameters
from trainables.idm import IDMHyperparameters
from trainables.udd import UDDHyperparameters

CPU = torch.device("cpu")
WAYS = [
    pytest.param(("mixed", False), id="mixed"),
    pytest.param(("fp32", True), id="compiled", marks=pytest.mark.integration),
    pytest.param(("mixed", True), id="compiled-mixed", marks=pytest.mark.slow),  # minutes of compiling
]
QUEUE = {"net_generate_interval": 2, "model_train_steps": 2, "batch_train": 8}
TRAINED = {"inner_loop": 4, "n_data": 8, "batch_train": 4, "lr_scaling": False, "lr_img": 0.1}
Way = tuple[str, bool]


def distiller(
    name: str, data: DataSplits, context: Context, way: Way, bank: Path | None = None, **values: Any
) -> Matching:
    computed = dataclasses.replace(context, precision=way[0], compiled=way[1])
    small = {"net": "convnet-w8", "batch_real": 10, **values}
    if name == "idm":
        return IDM(IDMHyperparameters(**QUEUE, **small), computed, data, 0, CPU, bank)
    if name == "idc":
        return IDC(IDCHyperparameters(**TRAINED, **small), computed, data, 0, CPU, bank)
    net = nets.build("convnet-w8", channels=3, size=8, classes=3, generator=torch.Generator().manual_seed(4))
    proxy = Passes(Compute(CPU, *way), image_gradient=False, batch=1, size=8).place(net)
    numbers = UDDHyperparameters(**TRAINED, **small)
    return UDD(numbers, computed, data, proxy.requires_grad_(False), 0, CPU, bank)


def images(run: Matching, steps: int) -> torch.Tensor:
    for _ in range(steps):
        run.step()
    return run.pixels.clone()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["idm", "idc", "udd"])
def test_an_interrupted_run_continues_bit_for_bit(
    name: str, data: DataSplits, context: Context, way: Way
) -> None:
    whole = images(distiller(name, data, context, way), 6)
    first, second = (distiller(name, data, context, way) for _ in range(2))
    images(first, 3)
    second.load_state_dict(first.state_dict())
    assert torch.equal(images(second, 3), whole)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["idm", "idc"])
def test_a_bank_that_another_trial_filled_changes_no_bit(
    name: str, data: DataSplits, context: Context, way: Way, tmp_path: Path
) -> None:
    alone = images(distiller(name, data, context, way), 12)
    images(
        distiller(name, data, context, way, tmp_path, lr_img=0.05)
        if name == "idm"
        else distiller("udd", data, context, way, tmp_path),
        10,
    )
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 1
    assert torch.equal(images(distiller(name, data, context, way, tmp_path), 12), alone)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["idm", "idc", "udd"])
def test_the_losses_are_those_of_the_uncompiled_float32_run(
    name: str, data: DataSplits, context: Context, way: Way
) -> None:
    exact = distiller(name, data, context, ("fp32", False))
    found = distiller(name, data, context, way)
    tolerance = 1e-4 if way[0] == "fp32" else 0.1  # a box or two may differ
    assert found.step() == pytest.approx(exact.step(), rel=tolerance)
    gradients = [run.optimiser.velocity for run in (exact, found)]
    error = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
    assert error.item() < (1e-2 if way[0] == "fp32" else 0.3)
