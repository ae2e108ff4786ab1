from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from raydd import nets
from raydd.seeding import generator


def build(spec: str, seed: int = 0) -> nets.Network:
    return nets.build(spec, channels=3, size=32, classes=10, generator=generator(seed, "test"))


@pytest.mark.parametrize("spec", ["convnet-w16", "resnet18-w4"])
def test_equal_generators_give_equal_bits_whatever_the_global_state(spec: str) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = build(spec)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    other = build(spec)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    different = build(spec, seed=1)
    assert not torch.equal(one.classifier.weight, different.classifier.weight)


@pytest.mark.parametrize("spec", ["convnet-w16", "resnet18-w4"])
def test_values_are_those_of_torchs_default_for_the_same_stream(spec: str) -> None:
    net = build(spec)
    ours = [parameter.detach().clone() for parameter in net.parameters()]
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(generator(0, "test").get_state())
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.Conv2d.reset_parameters(module)
            elif isinstance(module, nn.Linear):
                nn.Linear.reset_parameters(module)
            elif isinstance(module, nn.GroupNorm):
                module.reset_parameters()
    for value, default in zip(ours, net.parameters(), strict=True):
        torch.testing.assert_close(value, default.detach(), rtol=1e-6, atol=1e-8)


def test_weights_and_biases_are_uniform_within_one_over_the_root_of_fan_in() -> None:
    layer = [module for module in build("convnet").modules() if isinstance(module, nn.Conv2d)][1]
    bound = 1 / math.sqrt(128 * 9)
    weight = layer.weight.detach()
    assert float(weight.abs().max()) <= bound
    assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.01)
    assert float(weight.mean()) == pytest.approx(0.0, abs=bound / 100)
    assert layer.bias is not None
    assert bound / 2 < float(layer.bias.detach().abs().max()) <= bound


def test_a_network_can_be_filled_again_in_place() -> None:
    net = build("convnet-w4", seed=3)
    nets.initialise(net, generator(0, "test"))
    assert all(
        torch.equal(a, b) for a, b in zip(net.parameters(), build("convnet-w4").parameters(), strict=True)
    )


def test_an_unknown_layer_is_refused_rather_than_left_uninitialised() -> None:
    with pytest.raises(TypeError, match="PReLU"):
        nets.initialise(nn.Sequential(nn.Conv2d(1, 2, 3), nn.PReLU(2)), generator(0, "test"))


def test_positions_are_normal_with_deviation_0_02() -> None:
    net = nets.build("vit_small", channels=3, size=64, classes=10, generator=generator(0, "test"))
    positions = net.positions.weight.detach()
    assert positions.shape == (256, 384)
    assert float(positions.std()) == pytest.approx(0.02, rel=0.02)
    assert float(positions.mean()) == pytest.approx(0.0, abs=3e-4)
