"""DWA: how far and where the teacher's weights are moved, and that without it DWA is SRe2L."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raydd import nets
from raydd.data import DataSplits
from raydd.devices import Compute
from raydd.distillation import DWA, SRe2L, ascend
from raydd.formation import initial_images
from raydd.nets import Network, Passes
from raydd.registry import Context
from raydd.seeding import generator
from raydd.storage import Teacher
from trainables.dwa import DWA as METHOD
from trainables.dwa import DWAHyperparameters
from trainables.sre2l import SRE2L, SRe2LHyperparameters, relabelling

CPU = torch.device("cpu")
NET = "convnet-d1-w4-bn"
WAYS = [
    pytest.param(NET, False, id="convnet"),
    pytest.param("resnet18-bn-w2", False, id="resnet"),
    pytest.param(NET, True, id="convnet-compiled", marks=pytest.mark.integration),
]


def network(net: str = NET) -> Network:
    """An untrained teacher that remembers something."""
    made = nets.build(net, channels=3, size=8, classes=3, generator=generator(5, "teacher"))
    stream = generator(5, "statistics")
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(0.2 * torch.randn(module.num_features, generator=stream))
            module.running_var.copy_(0.3 + torch.rand(module.num_features, generator=stream))
    return made.requires_grad_(False).eval()


def distiller(kind: str, data: DataSplits, context: Context, **values: Any) -> SRe2L | DWA:
    numbers_of, method, made = (
        (DWAHyperparameters, METHOD, DWA) if kind == "dwa" else (SRe2LHyperparameters, SRE2L, SRe2L)
    )
    facts = {"asset": "teacher-0", "sha256": "0" * 64, "net": NET, "epochs": 0, "pretrained": False}
    teacher = Teacher(NET, network().state_dict(), {**facts, "train_accuracy": 0.3})
    numbers = numbers_of(**{"recover_iterations": 3, "teacher": NET, "jitter": 2, **values})
    how = relabelling(numbers, method.evaluation(numbers, context))
    return made(numbers, context, data, teacher, how, 0, CPU)


def finished(made: SRe2L | DWA) -> Tensor:
    while made.progress < 1:
        made.step()
    return made.distilled().pixels


def weights(net: Network) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


def batch(count: int = 6) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 3, 8, 8, generator=generator(0, "images")), torch.arange(count) % 3


def passes(compiled: bool = False) -> Passes:
    return Passes(Compute(CPU, compiled=compiled), image_gradient=True, batch=6, size=8)


@pytest.mark.parametrize(("net", "compiled"), WAYS)
def test_the_ascent_is_that_of_a_float64_loop(net: str, compiled: bool) -> None:
    images, labels = batch()
    reference = network(net).double().requires_grad_(True)
    for _ in range(3):
        loss = F.cross_entropy(reference(images.double()), labels)
        gradients = torch.autograd.grad(loss, list(reference.parameters()))
        norm = sum((g**2).sum() for g in gradients) ** 0.5
        with torch.no_grad():
            for parameter, g in zip(reference.parameters(), gradients):
                parameter.add_(0.4 / 3 * g / (norm + 1e-12))
    moved, run = network(net), passes(compiled)
    ascend(run.place(moved), run, images, labels, 0.4, 3)
    start = weights(network(net)).double()
    wanted, found = weights(reference) - start, weights(moved).double() - start
    assert ((found - wanted).norm() / wanted.norm()).item() < 1e-4


@pytest.mark.parametrize("rho", [1e-3, 0.015, 0.5])
@pytest.mark.parametrize("k", [1, 2, 12])
def test_the_weights_move_by_rho_at_the_most_and_the_loss_rises(rho: float, k: int) -> None:
    images, labels = batch()
    net = network()
    before, loss = weights(net), F.cross_entropy(net(images), labels)
    ascend(net, passes(), images, labels, rho, k)
    length = (weights(net).double() - before.double()).norm().item()
    assert length <= rho * (1 + 1e-4)
    if k == 1:
        assert length == pytest.approx(rho, rel=1e-3)
    assert F.cross_entropy(net(images), labels) > loss


def test_norms_are_moved_too_and_running_statistics_images_and_gradients_are_not() -> None:
    images, labels = batch()
    net, start, copied = network(), network().state_dict(), images.clone()
    ascend(net, passes(), images, labels, 0.1, 2)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, start[name])}
    assert changed == {name for name, _ in net.named_parameters()}
    assert {"blocks.1.weight", "blocks.1.bias"} <= changed
    assert torch.equal(images, copied)
    assert images.grad is None
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not net.training


def test_rho_0_coupled_weights_and_noise_make_it_sre2l(data: DataSplits, context: Context) -> None:
    same = {"lambda_mean": 0.3, "coupled": True, "init": "noise", "batch": 2}
    plain = finished(distiller("sre2l", data, context, **same))
    assert torch.equal(finished(distiller("dwa", data, context, rho=0.0, **same)), plain)
    tied = {**same, "coupled": False, "lambda_var": 0.3}
    assert torch.equal(finished(distiller("dwa", data, context, rho=0.0, **tied)), plain)
    assert torch.equal(finished(distiller("sre2l", data, context, **{**same, "lambda_var": 0.9})), plain)
    for other in (
        {"rho": 0.1},
        {"rho": 0.0, "lambda_var": 0.9, "coupled": False},
        {"rho": 0.0, "init": "real"},
    ):
        assert not torch.equal(finished(distiller("dwa", data, context, **{**same, **other})), plain)


def test_every_batch_of_every_id_starts_from_the_teacher_as_it_was_trained(
    data: DataSplits, context: Context
) -> None:
    made = distiller("dwa", data, context, batch=2, rho=0.2, k=3)
    start = initial_images(data.train, 4, data.normalisation, 0, "real").unflatten(0, (3, 4))
    for id_ in range(4):
        for run, classes in enumerate((slice(0, 2), slice(2, 3))):
            expected = network()
            stream = generator(0, "recover/jitter", 0, 2 * id_ + run)
            shift = tuple(torch.randint(3, (2,), generator=stream).tolist())
            images = torch.roll(start[classes, id_], shift, (2, 3))
            ascend(expected, passes(), images, torch.arange(3)[classes], 0.2, 3)
            for _ in range(3):
                made.step()
                torch.testing.assert_close(weights(made.net), weights(expected))


def test_ids_see_teachers_of_their_own(data: DataSplits, context: Context) -> None:
    made = distiller("dwa", data, context, rho=0.2)
    made.step()
    first = weights(made.net)
    for _ in range(3):
        made.step()
    assert not torch.equal(weights(made.net), first)
    assert (weights(made.net) - weights(network())).norm() <= 0.2 * (1 + 1e-4)
