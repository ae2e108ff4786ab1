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


def test_resnet_ap_has_average_pooling_in_place_of_strides_as_idc_writes_it() -> None:
    net = build("resnet10-w4-ap", 3, 128)
    assert {c.stride for c in net.modules() if isinstance(c, torch.nn.Conv2d)} == {(1, 1)}
    x = torch.randn(2, 3, 128, 128, generator=generator(4, "x"))
    state = {name: value.double() for name, value in net.state_dict().items()}

    def convolved(x: torch.Tensor, name: str) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, padding=weight.shape[2] // 2)

    def normed(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance = x.mean(dim=(2, 3), keepdim=True), x.var(dim=(2, 3), keepdim=True, correction=0)
        weight, bias = state[f"{name}.weight"].view(1, -1, 1, 1), state[f"{name}.bias"].view(1, -1, 1, 1)
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def pooled(x: torch.Tensor, side: int) -> torch.Tensor:
        n, c, h, w = x.shape
        return x.view(n, c, h // side, side, w // side, side).mean(dim=(3, 5))

    out = pooled(normed(convolved(x.double(), "stem"), "norm").relu(), 4)
    for stage in range(4):
        name = f"stages.{stage}"
        inside = normed(convolved(out, f"{name}.conv1"), f"{name}.norm1").relu()
        shortcut = out
        if stage:
            shortcut = normed(pooled(convolved(out, f"{name}.shortcut.0"), 2), f"{name}.shortcut.2")
            inside = pooled(inside, 2)
        out = (normed(convolved(inside, f"{name}.conv2"), f"{name}.norm2") + shortcut).relu()
    expected = out.mean(dim=(2, 3)) @ state["classifier.weight"].mT + state["classifier.bias"]
    with torch.no_grad():
        torch.testing.assert_close(net(x).double(), expected, rtol=1e-4, atol=1e-5)


def test_convolutions_of_resnet_ap_start_normal_by_fan_out() -> None:
    net = build("resnet10-ap", 3, 32)
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            expected = (2.0 / (module.out_channels * module.kernel_size[0] ** 2)) ** 0.5
            assert float(module.weight.detach().std()) == pytest.approx(expected, rel=0.05), name
            assert float(module.weight.detach().abs().max()) > 2.0 * expected, name  # no uniform has that
    bound = 512**-0.5
    assert 0.95 * bound < float(net.classifier.weight.detach().abs().max()) <= bound
