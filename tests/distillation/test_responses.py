"""Response maps: exact splits of the logit, and where they lie in the image."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from raydd import nets
from raydd.devices import Compute
from raydd.distillation.responses import overhang, resized_map, response_map
from raydd.errors import ConfigError
from raydd.nets import Passes
from raydd.seeding import generator

CPU = Compute(torch.device("cpu"))


def network(spec: str, size: int, channels: int = 3, classes: int = 4) -> nets.Network:
    net = nets.build(
        spec, channels=channels, size=size, classes=classes, generator=generator(0, "test")
    ).double()
    with torch.no_grad():
        net.classifier.bias.copy_(torch.linspace(-1.0, 2.0, classes))
    return net


def passes(size: int) -> Passes:
    return Passes(CPU, image_gradient=False, batch=4, size=size)


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        ("convnet-w4", 16),
        ("convnet-w4", 32),
        ("convnet-w4", 28),
        ("convnet-w4-d2", 14),  # 7 px before the last pooling, which leaves a row and a column out
        ("convnet-w4-d2", 7),  # 3 px, pooled to one
        ("resnet18-w4", 8),
        ("resnet18-w4", 40),
    ],
)
def test_evidence_sums_to_the_logit_of_the_true_class(spec: str, size: int) -> None:
    net = network(spec, size)
    images = torch.randn(5, 3, size, size, generator=generator(1, "x"), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 1])
    evidence = response_map(net, images, labels, passes(size), "evidence")
    with torch.no_grad():
        logits = net(images)[torch.arange(5), labels]
    total = evidence.sum(dim=(1, 2)) + net.classifier.bias.detach()[labels]
    torch.testing.assert_close(total, logits, rtol=1e-12, atol=1e-12)


def test_evidence_equals_its_loop_over_positions_and_channels() -> None:
    net = network("convnet-w3-d2", 14)
    images = torch.randn(1, 3, 14, 14, generator=generator(2, "x"), dtype=torch.float64)
    features = net.unpooled_features(images).detach()[0]  # (3, 7, 7), pooled to 3 x 3
    weight = net.classifier.weight.detach()[2]  # 3 channels x 9 cells
    expected = torch.zeros(7, 7, dtype=torch.float64)
    for channel in range(3):
        for y in range(6):
            for x in range(6):
                cell = (y // 2) * 3 + x // 2
                expected[y, x] += features[channel, y, x] / 4 * weight[channel * 9 + cell]
    evidence = response_map(net, images, torch.tensor([2]), passes(14), "evidence")
    torch.testing.assert_close(evidence[0], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("spec", ["convnet-w4", "resnet18-w4"])
def test_activation_is_the_channel_mean_of_what_the_last_pooling_reads(spec: str) -> None:
    net = network(spec, 16)
    images = torch.randn(3, 3, 16, 16, generator=generator(1, "x"), dtype=torch.float64)
    maps = response_map(net, images, torch.zeros(3, dtype=torch.int64), passes(16))
    with torch.no_grad():
        features = net.unpooled_features(images)
        local = net.local_features(images)
    side = features.shape[-1]
    expected = sum(features[:, channel] for channel in range(features.shape[1])) / features.shape[1]
    torch.testing.assert_close(maps, expected, rtol=1e-12, atol=1e-12)
    assert (maps >= 0).all()
    if spec.startswith("convnet"):
        assert side == 4
        torch.testing.assert_close(F.avg_pool2d(features, 2).flatten(2), local)
    else:
        torch.testing.assert_close(features.flatten(2), local)


@pytest.mark.parametrize("spec", ["lenet", "alexnet"])
def test_evidence_is_refused_where_the_classifier_reads_something_else(spec: str) -> None:
    images, labels = torch.zeros(2, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1])
    with pytest.raises(ConfigError, match=r"'evidence' is not defined for (LeNet|AlexNet)"):
        response_map(network(spec, 8), images, labels, passes(8), "evidence")
    assert response_map(network(spec, 8), images, labels, passes(8), "activation").ndim == 3


def test_an_unknown_form_is_named() -> None:
    with pytest.raises(ConfigError, match="response_form: unknown form 'activations': did you mean"):
        response_map(
            network("convnet-w2", 8), torch.zeros(1, 3, 8, 8), torch.tensor([0]), passes(8), "activations"
        )


@pytest.mark.parametrize(("length", "side"), [(8, 16), (7, 14), (4, 32), (8, 3), (1, 5), (5, 5)])
def test_resized_maps_are_torchs_bilinear_ones(length: int, side: int) -> None:
    maps = torch.randn(3, length, length, generator=generator(3, "maps"))
    expected = F.interpolate(maps[:, None], size=(side, side), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(resized_map(maps, side), expected, rtol=1e-5, atol=1e-6)


def test_the_widened_border_at_28_px_is_cut_off() -> None:
    assert overhang(network("convnet-w2", 28), 28) == 2 / 32
    assert overhang(network("convnet-w2", 32), 32) == 0.0
    assert overhang(network("resnet18-w2", 28), 28) == 0.0
    maps = torch.randn(2, 8, 8, generator=generator(3, "maps"))
    whole = F.interpolate(maps[:, None], size=(32, 32), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(resized_map(maps, 28, 2 / 32), whole[:, 2:30, 2:30], rtol=1e-5, atol=1e-6)


def test_a_constant_map_stays_constant_to_the_bit() -> None:
    maps = torch.full((1, 8, 8), 0.1)
    assert torch.equal(resized_map(maps, 11, 1 / 16), torch.full((1, 11, 11), 0.1))
