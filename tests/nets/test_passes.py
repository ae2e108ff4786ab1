"""Passes in parts, compiled and in bfloat16 give what one plain forward gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from raydd import nets
from raydd.devices import Compute
from raydd.nets import Network, Passes
from raydd.nets.passes import part_size
from raydd.seeding import generator

CPU = torch.device("cpu")
torch.set_num_threads(1)  # threads of tiny tensors only wait for each other


def small(spec: str = "convnet-w8", size: int = 8) -> Network:
    return nets.build(spec, channels=3, size=size, classes=3, generator=generator(0, "net"))


def images(n: int, size: int = 8) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=generator(0, "images"))


def passes(part: int, precision: str = "fp32", compiled: bool = False, **changes: bool) -> Passes:
    arguments = {"image_gradient": False, **changes}
    made = Passes(Compute(CPU, precision, compiled), batch=part, size=8, **arguments)  # type: ignore[arg-type]
    made.part = part
    return made


@pytest.mark.parametrize(
    ("count", "size", "part"),
    [(100, 32, 20), (256, 32, 20), (21, 32, 11), (5, 32, 5), (320, 8, 320), (321, 8, 161), (64, 224, 8)],
)
def test_parts_are_equal_and_their_pixels_few(count: int, size: int, part: int) -> None:
    assert part_size(count, size, CPU) == part
    assert part_size(count, size, torch.device("cuda")) == count


@pytest.mark.parametrize("part", [1, 3, 7, 10, 64])
@pytest.mark.parametrize("spec", ["convnet-w8", "resnet18-w4"])
def test_parts_give_what_the_whole_gives(spec: str, part: int) -> None:
    net, x = small(spec), images(10)
    run = passes(part)
    torch.testing.assert_close(run.embed(net, x), net.embed(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(run.logits(net, x), net(x), rtol=1e-5, atol=1e-5)
    embedding, local = run.embed_with_map(net, x)
    torch.testing.assert_close(embedding, net.embed(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(local, net.local_features(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("part", [3, 10])
@pytest.mark.parametrize("soft", [False, True])
def test_gradients_of_the_parts_add_up_to_that_of_the_mean_cross_entropy(part: int, soft: bool) -> None:
    net, expected, x = small().double(), small().double(), images(10).double()
    y = torch.arange(10) % 3
    targets = F.softmax(torch.randn(10, 3, generator=generator(0, "soft")), 1).double() if soft else y
    passes(part).backward(net, x, targets)
    F.cross_entropy(expected(x), targets).backward()
    for a, b in zip(net.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-12)


def test_image_gradients_flow_through_the_parts() -> None:
    net, x = small().requires_grad_(False), images(10)
    one, parts = x.clone().requires_grad_(), x.clone().requires_grad_()
    net.embed(one).square().sum().backward()
    passes(4).embed(net, parts).square().sum().backward()
    torch.testing.assert_close(parts.grad, one.grad, rtol=1e-4, atol=1e-5)


def test_which_precision_computes_what() -> None:
    net, x = small(), images(10)
    exact = net.embed(x)
    for precision, image_gradient, low in (
        ("fp32", False, False),
        ("mixed", True, False),
        ("mixed", False, True),
        ("bf16", True, True),
    ):
        found = passes(10, precision, image_gradient=image_gradient).embed(net, x)
        error = ((found - exact).norm() / exact.norm()).item()
        assert found.dtype == torch.float32
        assert (1e-4 < error < 2e-2) if low else error == 0.0


@pytest.mark.integration
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_passes_give_what_uncompiled_ones_give(precision: str) -> None:
    x, y = images(10), torch.arange(10) % 3
    eager, compiled = passes(4, precision), passes(4, precision, compiled=True)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if precision == "fp32" else {"rtol": 5e-2, "atol": 2e-2}
    for seed in (0, 1):  # another network of the same kind runs through the same code
        plain, other = (
            nets.build("convnet-w8", channels=3, size=8, classes=3, generator=generator(seed, "net"))
            for _ in range(2)
        )
        compiled.place(other)
        torch.testing.assert_close(compiled.embed(other, x), eager.embed(plain, x), **tolerance)
        torch.testing.assert_close(
            compiled.embed_with_map(other, x), eager.embed_with_map(plain, x), **tolerance
        )
        eager.backward(plain, x, y)
        compiled.backward(other, x, y)
        for a, b in zip(other.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, **tolerance)


@pytest.mark.integration
def test_the_filling_of_the_last_part_changes_no_bit_and_compiles_nothing_more() -> None:
    from torch._dynamo.utils import counters

    run, net = passes(4, compiled=True), small()
    run.place(net)
    with torch.no_grad():
        whole = run.logits(net, images(8))
        before = counters["stats"]["unique_graphs"]
        assert torch.equal(run.logits(net, images(8)[:5]), whole[:5])
        assert torch.equal(run.logits(net, images(8)[:3]), whole[:3])
    assert counters["stats"]["unique_graphs"] == before


@pytest.mark.parametrize("part", [3, 10])
@pytest.mark.parametrize(("temperature", "scale"), [(20.0, 400.0), (0.5, 3.0), (1.0, 2.0), (30.0, 1.0)])
def test_temperature_and_scale_are_those_of_the_loss(part: int, temperature: float, scale: float) -> None:
    net, x = small().double(), images(10).double()
    targets = F.softmax(torch.randn(10, 3, generator=generator(0, "soft")), 1).double()
    returned = passes(part).backward(net, x, targets, temperature=temperature, scale=scale)

    logits = net(x)
    total = torch.zeros((), dtype=torch.float64)
    for i in range(10):
        powers = torch.exp(logits[i] / temperature)
        total = total - sum(targets[i, c] * torch.log(powers[c] / powers.sum()) for c in range(3))
    expected = torch.autograd.grad(scale * total / 10, list(net.parameters()))
    for parameter, gradient in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(returned, logits.detach())  # as they are, not divided
