"""Logits and the moments of batch norms' inputs from one pass, against float64 hooks on the network itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from raydd import nets
from raydd.devices import Compute
from raydd.errors import ConfigError
from raydd.nets import Network, StatisticsPasses
from raydd.seeding import generator

CPU = torch.device("cpu")
CLASSES = 3
SPECS = ["convnet-d2-w4-bn", "resnet18-bn-w2"]
WAYS = [
    *(pytest.param(spec, False, id=spec) for spec in SPECS),
    pytest.param("convnet-d2-w4-bn", True, id="convnet-compiled", marks=pytest.mark.integration),
    pytest.param("resnet18-bn-w2", True, id="resnet-compiled", marks=pytest.mark.slow),  # minutes
]
torch.set_num_threads(1)  # threads of tiny tensors only wait for each other


def teacher(spec: str, seed: int = 0) -> Network:
    """A frozen network whose norms scale, shift and remember."""
    stream = generator(seed, "net")
    net = nets.build(spec, channels=3, size=8, classes=CLASSES, generator=stream)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.add_(0.3 * torch.randn(module.weight.shape, generator=stream))
                module.bias.add_(0.3 * torch.randn(module.bias.shape, generator=stream))
                module.running_mean.copy_(0.3 * torch.randn(module.bias.shape, generator=stream))
                module.running_var.copy_(0.5 + torch.rand(module.bias.shape, generator=stream))
    return net.requires_grad_(False).eval()


def batch(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    images = torch.randn(count, 3, 8, 8, generator=generator(0, "images"), dtype=torch.float64)
    return images.to(dtype).requires_grad_()


def by_hooks(net: Network, images: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The same from hooks, in whatever precision: each batch norm's input, its mean and its biased variance."""
    means, variances = [], []

    def hook(norm: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
        x = inputs[0].transpose(0, 1).flatten(1)
        means.append(x.mean(1) - norm.running_mean)
        variances.append(((x - x.mean(1, keepdim=True)) ** 2).sum(1) / x.shape[1] - norm.running_var)

    handles = [m.register_forward_hook(hook) for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    logits = net(images)
    for handle in handles:
        handle.remove()
    return logits, means, variances


def scalar(logits: Tensor, means: list[Tensor], variances: list[Tensor]) -> Tensor:
    """Something that all outputs have a part in, each entry its own."""
    found = torch.cat([tensor.flatten().double() for tensor in (logits, *means, *variances)])
    return (found * torch.linspace(-1, 2, len(found), dtype=torch.float64)).sum()


@pytest.mark.parametrize(("spec", "compiled"), WAYS)
def test_logits_moments_and_image_gradients_are_those_of_float64_hooks(spec: str, compiled: bool) -> None:
    expected_images = batch(6, torch.float64)
    expected = by_hooks(teacher(spec).double(), expected_images)
    images = batch(6)
    found = StatisticsPasses(teacher(spec), Compute(CPU, compiled=compiled))(images)
    assert len(found.means) == len(expected[1]) == len(found.variances)
    torch.testing.assert_close(found.logits.double(), expected[0], rtol=1e-4, atol=1e-5)
    for name, theirs, ours in zip(("means", "variances"), expected[1:], found[1:]):
        for layer, (one, other) in enumerate(zip(theirs, ours)):
            assert other.shape == (1, len(one)), (name, layer)
            torch.testing.assert_close(other[0].double(), one, rtol=1e-4, atol=1e-5)
    (wanted,) = torch.autograd.grad(scalar(*expected), expected_images)
    (gradient,) = torch.autograd.grad(scalar(*found), images)
    assert ((gradient.double() - wanted).norm() / wanted.norm()).item() < 1e-5


def test_each_group_has_the_statistics_that_it_has_alone() -> None:
    passes = StatisticsPasses(teacher("convnet-d2-w4-bn"), Compute(CPU))
    images = batch(6)
    both = passes(images, groups=2)
    for group, part in enumerate(images.chunk(2)):
        alone = passes(part)
        torch.testing.assert_close(both.logits.chunk(2)[group], alone.logits)
        for ours, theirs in zip(both.means + both.variances, alone.means + alone.variances):
            torch.testing.assert_close(ours[group], theirs[0])


@pytest.mark.parametrize("spec", SPECS)
def test_no_weight_gets_a_gradient_and_no_running_statistic_moves(spec: str) -> None:
    net = teacher(spec)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    passes, images = StatisticsPasses(net, Compute(CPU)), batch(4)
    scalar(*passes(images)).backward()
    assert images.grad is not None
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in net.parameters())
    assert all(p.grad is None and not p.requires_grad for p in passes.watched.parameters())
    after = net.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_the_weights_are_the_networks_own() -> None:
    net = teacher("convnet-d2-w4-bn")
    passes = StatisticsPasses(net, Compute(CPU))
    first = passes(batch(4)).logits
    with torch.no_grad():
        for parameter in passes.net.parameters():
            parameter.mul_(1.1)
    second = passes(batch(4))
    assert not torch.equal(first, second.logits)
    torch.testing.assert_close(second.logits, passes.net(batch(4)))


def test_bfloat16_is_near_and_mixed_is_float32() -> None:
    exact, mixed, low = (
        StatisticsPasses(teacher("convnet-d2-w4-bn"), Compute(CPU, precision))(batch(4))
        for precision in ("fp32", "mixed", "bf16")
    )
    assert torch.equal(exact.logits, mixed.logits)
    assert low.logits.dtype == low.means[0].dtype == low.variances[-1].dtype == torch.float32
    assert not torch.equal(exact.logits, low.logits)
    torch.testing.assert_close(low.means[0], exact.means[0], rtol=0.05, atol=0.02)


def test_a_network_without_batch_norm_has_nothing_to_match() -> None:
    net = nets.build("convnet-w4", channels=3, size=8, classes=CLASSES, generator=generator(0, "net"))
    with pytest.raises(ConfigError, match="a ConvNet without batch norm has no statistics"):
        StatisticsPasses(net, Compute(CPU))


@pytest.mark.integration
def test_compiled_code_serves_every_teacher_of_a_kind() -> None:
    import torch._dynamo.utils as dynamo

    compute = Compute(CPU, compiled=True)
    StatisticsPasses(teacher("convnet-d2-w4-bn"), compute)(batch(5))
    made = dynamo.counters["stats"]["unique_graphs"]
    assert made > 0
    passes = StatisticsPasses(teacher("convnet-d2-w4-bn", seed=1), compute)
    found, expected = passes(batch(5)), by_hooks(passes.net, batch(5))
    torch.testing.assert_close(found.logits, expected[0], rtol=1e-4, atol=1e-5)
    assert dynamo.counters["stats"]["unique_graphs"] == made
