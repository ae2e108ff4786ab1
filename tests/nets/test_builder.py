from __future__ import annotations

import math

import pytest
import torch

from raydd import nets
from raydd.errors import ConfigError
from raydd.seeding import generator


def test_names_are_those_of_the_fields_tables() -> None:
    assert nets.names() == [
        "alexnet",
        "convnet",
        "densenet121",
        "efficientnet_b0",
        "lenet",
        "mlp",
        "mobilenet_v2",
        "resnet10",
        "resnet101",
        "resnet18",
        "resnet34",
        "resnet50",
        "shufflenet_v2_x0_5",
        "shufflenet_v2_x1_0",
        "vgg11",
        "vgg16",
        "vit_small",
    ]


@pytest.mark.parametrize(
    "spec",
    [
        "convnet",
        "convnet-w32",
        "convnet-d2-w64",
        "convnet-w64-d2",
        "convnet-d3-bn-w64",
        "resnet18-w16",
        "resnet18-bn-w16",
        "resnet50-w16-bn",
        "vgg11-bn",
        "alexnet-bn",
        "mlp-w64",
    ],
)
def test_a_good_specification_is_accepted(spec: str) -> None:
    nets.validate(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("convnt", r"net: unknown net 'convnt': did you mean 'convnet'\? \(allowed: alexnet, convnet, "),
        ("", "unknown net ''"),
        ("ConvNet", "unknown net 'ConvNet'"),
        ("convnet-x3", "bad option 'x3' in 'convnet-x3'; convnet takes -dN .*, -wN .* and -bn"),
        ("convnet-w", "bad option 'w'"),
        ("convnet-", "bad option ''"),
        ("convnet-w0", "bad option 'w0'"),
        ("convnet-d11", "bad option 'd11'"),
        ("convnet-w-3", "bad option 'w'"),
        ("convnet-w32-w64", "bad option 'w64'.*each once"),
        ("convnet-w٣", "bad option 'w٣'"),
        ("resnet18-d2", r"bad option .d2. in .resnet18-d2.; resnet18 takes -wN \(width, 1 to 1024\), -bn"),
        ("convnet-ap", "bad option 'ap' in 'convnet-ap'"),
        ("resnet10-ap-ap", "bad option .ap. in .resnet10-ap-ap.; .* and -ap .*, each once"),
        ("resnet18-bn-bn", "bad option .bn. in .resnet18-bn-bn.; .*each once"),
        ("resnet18-bn4", "bad option .bn4."),
        ("mlp-bn", r"bad option .bn. in .mlp-bn.; mlp takes -wN \(width, 1 to 4096\), once"),
        ("alexnet-w3", r"bad option .w3. in .alexnet-w3.; alexnet takes -bn \(batch norm\), once"),
        ("densenet121-bn", "bad option .bn. in .densenet121-bn.; densenet121 takes no options"),
    ],
)
def test_a_bad_specification_is_refused_in_one_sentence(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        nets.validate(spec)
    assert len(caught.value.problems) == 1
    with pytest.raises(ConfigError):
        nets.build(spec, channels=3, size=32, classes=10, generator=generator(0, "x"))


def test_the_order_of_options_does_not_matter() -> None:
    one = nets.build("convnet-d1-w4", channels=1, size=8, classes=2, generator=generator(0, "x"))
    other = nets.build("convnet-w4-d1", channels=1, size=8, classes=2, generator=generator(0, "x"))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(("channels", "size", "classes"), [(0, 32, 10), (3, 3, 10), (3, 32, 0)])
def test_impossible_images_are_refused(channels: int, size: int, classes: int) -> None:
    with pytest.raises(ConfigError, match=f"got {channels}, {size} px and {classes}"):
        nets.build("convnet", channels=channels, size=size, classes=classes, generator=generator(0, "x"))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("convnet", True),
        ("convnet-d2-bn", False),
        ("resnet18-w16", True),
        ("resnet18-bn-w16", False),
        ("vit_small", True),
        ("mobilenet_v2", False),
    ],
)
def test_per_image_is_read_from_the_specification(spec: str, expected: bool) -> None:
    assert nets.per_image(spec) is expected


@pytest.mark.parametrize("spec", sorted(nets.names()))
def test_the_side_of_the_input_is_that_of_what_the_first_layer_takes(spec: str) -> None:
    net = nets.build(spec, channels=3, size=8, classes=2, generator=torch.Generator()).eval()
    seen = []
    layers = [one for one in net.modules() if isinstance(one, torch.nn.Conv2d | torch.nn.Linear)]
    for layer in layers:
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    net(torch.zeros(1, 3, 8, 8))
    first = seen[0]
    side = first[-1] if len(first) == 4 else math.isqrt(first[-1] // 3)
    assert side == nets.input_side(spec, 8)
    assert nets.input_side(spec, 64) == 64


def test_per_image_refuses_what_validate_refuses() -> None:
    with pytest.raises(ConfigError, match="unknown net 'resnet19'"):
        nets.per_image("resnet19-bn")
