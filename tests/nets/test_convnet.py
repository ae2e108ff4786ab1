from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from raydd import nets
from raydd.errors import ConfigError
from raydd.nets.layers import Halve
from raydd.seeding import generator


def build(spec: str, channels: int, size: int, classes: int = 10) -> nets.Network:
    return nets.build(spec, channels=channels, size=size, classes=classes, generator=generator(0, "test"))


@pytest.mark.parametrize(
    ("size", "depth", "side"),
    [(4, 1, 2), (7, 1, 3), (8, 2, 2), (15, 2, 3), (16, 3, 2), (28, 3, 4), (32, 3, 4), (63, 3, 7), (64, 4, 4)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_gets_the_depth_and_feature_size_of_the_field(
    channels: int, size: int, depth: int, side: int
) -> None:
    assert nets.default_depth(size) == depth
    net = build("convnet", channels, size)
    assert net.feature_size == 128 * side * side
    with torch.no_grad():
        x = torch.randn(2, channels, size, size, generator=generator(1, "x"))
        assert net.local_features(x).shape == (2, 128, side * side)
        assert net(x).shape == (2, 10)


def test_feature_size_is_2048_at_32_px_and_512_at_8_px() -> None:
    assert build("convnet", 3, 32).feature_size == 2048
    assert build("convnet", 1, 28).feature_size == 2048
    assert build("convnet", 1, 8).feature_size == 512
    assert build("convnet-w32", 1, 8).feature_size == 128
    assert build("convnet-d2-w64", 3, 32).feature_size == 64 * 8 * 8


def test_cifar_convnet_has_the_320010_parameters_of_the_papers() -> None:
    assert sum(p.numel() for p in build("convnet", 3, 32).parameters()) == 320_010


def test_first_convolution_pads_by_three_at_28_px_only() -> None:
    for channels in (1, 3):
        for size in (8, 16, 27, 28, 29, 32, 64):
            convolutions = [
                m for m in build("convnet-w2", channels, size).modules() if isinstance(m, torch.nn.Conv2d)
            ]
            assert convolutions[0].padding == ((3, 3) if size == 28 else (1, 1))
            assert all(convolution.padding == (1, 1) for convolution in convolutions[1:])


def test_forward_equals_float64_loops_over_the_layers() -> None:
    net = build("convnet-w3-d2", 2, 5, classes=4).double()
    x = torch.randn(2, 2, 5, 5, generator=generator(2, "x"), dtype=torch.float64)
    weights = {name: value.detach().numpy() for name, value in net.named_parameters()}
    values = list(weights.values())
    for sample in range(2):
        image = x[sample].numpy()
        for block in range(2):
            kernel, bias, scale, shift = values[4 * block : 4 * block + 4]
            channels, side = len(kernel), image.shape[1]
            padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
            out = np.zeros((channels, side, side))
            for c in range(channels):
                for i in range(side):
                    for j in range(side):
                        out[c, i, j] = (kernel[c] * padded[:, i : i + 3, j : j + 3]).sum() + bias[c]
                normal = (out[c] - out[c].mean()) / math.sqrt(out[c].var() + 1e-5)
                out[c] = np.maximum(normal * scale[c] + shift[c], 0.0)
            half = side // 2
            image = np.zeros((channels, half, half))
            for i in range(half):
                for j in range(half):
                    image[:, i, j] = out[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean(axis=(1, 2))
        logits = weights["classifier.weight"] @ image.reshape(-1) + weights["classifier.bias"]
        np.testing.assert_allclose(net(x)[sample].detach().numpy(), logits, rtol=1e-10)


def test_embedding_is_the_flattened_local_features_and_feeds_the_classifier() -> None:
    net = build("convnet-w8", 3, 16)
    x = torch.randn(3, 3, 16, 16, generator=generator(3, "x"))
    with torch.no_grad():
        embedded = net.embed(x)
        assert embedded.shape == (3, net.feature_size)
        assert torch.equal(embedded, net.local_features(x).flatten(1))
        assert torch.equal(net(x), net.classifier(embedded))


def test_train_and_eval_mode_agree_and_samples_do_not_mix() -> None:
    net = build("convnet-w8", 3, 16)
    x = torch.randn(4, 3, 16, 16, generator=generator(4, "x"))
    with torch.no_grad():
        trained = net.train()(x)
        assert torch.equal(net.eval()(x), trained)
        torch.testing.assert_close(net(x[1:2]), trained[1:2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 28), (3, 32)])
def test_gradient_reaches_every_pixel_and_every_parameter(channels: int, size: int) -> None:
    net = build("convnet-w16", channels, size)
    x = torch.randn(2, channels, size, size, generator=generator(5, "x"), requires_grad=True)
    net(x).square().sum().backward()
    assert x.grad is not None
    assert bool((x.grad != 0).flatten(2).float().mean() > 0.99)
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0.0, name


def test_a_convnet_too_deep_for_its_images_is_refused() -> None:
    assert build("convnet-w2-d5", 1, 32).feature_size == 2
    with pytest.raises(
        ConfigError, match="depth 5 halves the image 5 times and needs at least 32 px, got 31"
    ):
        build("convnet-d5", 1, 31)


@pytest.mark.parametrize("side", [2, 7, 16])
def test_halving_gives_the_bits_of_average_pooling_and_its_gradient(side: int) -> None:
    x = torch.randn(3, 5, side, side, generator=torch.Generator().manual_seed(0))
    ours, torchs = x.clone().requires_grad_(), x.clone().requires_grad_()
    halved, pooled = Halve()(ours), torch.nn.functional.avg_pool2d(torchs, 2)
    assert torch.equal(halved, pooled)
    weights = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(1))
    (halved * weights).sum().backward()
    (pooled * weights).sum().backward()
    assert torch.equal(ours.grad, torchs.grad)
