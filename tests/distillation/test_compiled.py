"""Compiled and mixed runs keep every promise of bits that uncompiled float32 runs keep."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from raydd import nets
from raydd.data import DataSplits
from raydd.devices import Compute
from raydd.distillation import DM, IID, FreshRealSide
from raydd.nets import Network, Passes
from raydd.registry import Context
from trainables.dm import DMHyperparameters
from trainables.iid import IIDHyperparameters

CPU = torch.device("cpu")
BASE = {"net": "convnet-w8", "batch_real": 10, "lr_img": 0.5}
WAYS = [
    pytest.param(("mixed", False), id="mixed"),
    pytest.param(("fp32", True), id="compiled", marks=pytest.mark.integration),
    pytest.param(("mixed", True), id="compiled-mixed", marks=pytest.mark.integration),
]
Way = tuple[str, bool]


def computed(context: Context, way: Way) -> Context:
    return dataclasses.replace(context, precision=way[0], compiled=way[1])


def placed(way: Way) -> list[Network]:
    """Two untrained extractors, as an asset store of this way gives them."""
    passes = Passes(Compute(CPU, *way), image_gradient=True, batch=1, size=8)
    pool = [
        nets.build("convnet-w4", channels=3, size=8, classes=3, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 2)
    ]
    return [passes.place(net).requires_grad_(False) for net in pool]


def iid(data: DataSplits, context: Context, way: Way, bank: Path | None = None, **values: float) -> IID:
    numbers = IIDHyperparameters(**{**BASE, **values})
    return IID(numbers, computed(context, way), data, placed(way), 0, CPU, bank)


def images(distiller: DM, steps: int) -> torch.Tensor:
    for _ in range(steps):
        distiller.step()
    return distiller.distilled().pixels


@pytest.mark.parametrize("way", WAYS)
def test_with_both_weights_zero_iid_is_dm_bit_for_bit(data: DataSplits, context: Context, way: Way) -> None:
    dm = DM(DMHyperparameters(**BASE), computed(context, way), data, 0, CPU)
    assert torch.equal(images(iid(data, context, way, lambda_cc=0, lambda_cm=0), 3), images(dm, 3))


@pytest.mark.parametrize("way", WAYS)
def test_an_interrupted_run_continues_bit_for_bit(data: DataSplits, context: Context, way: Way) -> None:
    whole = images(iid(data, context, way), 4)
    first, second = iid(data, context, way), iid(data, context, way)
    images(first, 2)
    second.load_state_dict(first.state_dict())
    assert torch.equal(images(second, 2), whole)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("net", ["convnet-w8", pytest.param("resnet18-w2", marks=pytest.mark.slow)])
def test_covariances_do_not_change_a_bit_of_the_means(data: DataSplits, way: Way, net: str) -> None:
    def means(covariances: bool) -> torch.Tensor:
        return FreshRealSide(data, net, 10, "color_crop", covariances, 0, Compute(CPU, *way)).at(0).means

    assert torch.equal(means(True), means(False))


@pytest.mark.parametrize("way", WAYS)
def test_a_bank_that_another_trial_filled_changes_no_bit(
    data: DataSplits, context: Context, way: Way, tmp_path: Path
) -> None:
    alone = images(iid(data, context, way), 10)
    images(iid(data, context, way, tmp_path, lambda_cc=0.3), 10)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    assert torch.equal(images(iid(data, context, way, tmp_path), 10), alone)


@pytest.mark.parametrize("way", WAYS)
def test_the_losses_are_those_of_the_uncompiled_float32_run(
    data: DataSplits, context: Context, way: Way
) -> None:
    exact, found = iid(data, context, ("fp32", False)), iid(data, context, way)
    tolerance = 1e-5 if way[0] == "fp32" else 1e-2
    assert found.step() == pytest.approx(exact.step(), rel=tolerance)
    gradients = [distiller.optimiser.velocity for distiller in (exact, found)]
    error = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
    assert error.item() < (1e-2 if way[0] == "fp32" else 5e-2)


@pytest.mark.slow
def test_kernels_that_were_kept_give_the_bits_of_those_that_were_just_made(tmp_path: Path) -> None:
    code = """
import sys, raydd
data = raydd.load_data("digits")
values = {"net": "convnet-w8", "batch_real": 8, "pool_net": "convnet-w8", "pool_size": 1, "pool_epochs": 1}
made = raydd.distill("iid", data, ipc=2, iterations=3, hyperparameters=values, device="cpu",
                     precision="mixed", compile="on", home=sys.argv[1])
print(made.pixels.double().sum().item().hex(), made.manifest["computed"])
"""

    def run(home: str) -> str:
        command = [sys.executable, "-c", code, str(tmp_path / home)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    cold = run("a")
    assert "'path': 'compiled'" in cold
    assert run("b") == cold
