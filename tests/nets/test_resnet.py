from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from raydd import nets
from raydd.seeding import generator


def build(spec: str, channels: int, size: int) -> nets.Network:
    return nets.build(spec, channels=channels, size=size, classes=10, generator=generator(0, "test"))


def test_cifar_resnet18_has_11173962_parameters_and_512_features() -> None:
    net = build("resnet18", 3, 32)
    assert sum(p.numel() for p in net.parameters()) == 11_173_962
    assert net.feature_size == 512


@pytest.mark.parametrize(("channels", "size", "side"), [(1, 8, 4), (1, 28, 4), (3, 32, 4), (3, 64, 8)])
def test_stage_four_is_pooled_over_all_positions(channels: int, size: int, side: int) -> None:
    net = build("resnet18-w4", channels, size)
    x = torch.randn(2, channels, size, size, generator=generator(1, "x"))
    with torch.no_grad():
        features = net.local_features(x)
        assert features.shape == (2, 32, side * side)
        torch.testing.assert_close(net.embed(x), features.mean(dim=2))
        assert torch.equal(net(x), net.classifier(net.embed(x)))
        assert net(x).shape == (2, 10)


def test_small_images_are_enlarged_to_32_px_inside_the_network() -> None:
    small, large = build("resnet18-w4", 1, 8), build("resnet18-w4", 1, 32)
    x = torch.randn(3, 1, 8, 8, generator=generator(2, "x"))
    enlarged = F.interpolate(x, size=(32, 32), mode="bilinear", align_corners=False)
    with torch.no_grad():
        assert torch.equal(small(x), large(enlarged))
        features = small.embed(x)
    assert (
        float((features[0] - features[1]).abs().max()) > 1e-2
    )  # without enlarging they would be one constant


def test_the_strides_halve_the_map_three_times() -> None:
    net = build("resnet18-w4", 3, 32)
    convolutions = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.stride[0] for c in convolutions].count(2) == 6  # first conv and shortcut of stages 2, 3, 4
    assert all(c.bias is None for c in convolutions)
    assert len(convolutions) == 1 + 16 + 3


def test_gradient_reaches_the_pixels_and_every_parameter() -> None:
    net = build("resnet18-w8", 3, 32)
    x = torch.randn(2, 3, 32, 32, generator=generator(3, "x"), requires_grad=True)
    net(x).square().sum().backward()
    assert x.grad is not None
    assert bool((x.grad != 0).float().mean() > 0.99)
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0.0, name
