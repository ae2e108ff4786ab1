"""Network specifications such as `convnet-d2-w64` or `resnet18-bn`: parsing, checking and building."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from raydd.errors import ConfigError, unknown
from raydd.nets.alexnet import AlexNet
from raydd.nets.convnet import ConvNet
from raydd.nets.initialise import initialise
from raydd.nets.layers import SMALLEST
from raydd.nets.lenet import LeNet
from raydd.nets.library import LIBRARY, LibraryNet
from raydd.nets.mlp import MLP
from raydd.nets.network import Network
from raydd.nets.resnet import BasicBlock, Bottleneck, ResNet
from raydd.nets.vgg import VGG, VGG11, VGG16
from raydd.nets.vit import ViT

_FLAGS = {
    "bn": ("batch_norm", "batch norm"),
    "ap": ("average_pooling", "average pooling instead of strides"),
}


@dataclass(frozen=True)
class _Family:
    make: Callable[..., Network]
    numbers: dict[str, tuple[str, int]] = field(default_factory=dict)  # letter -> (argument, largest value)
    batch_norm: bool = False  # whether it takes `-bn`
    average_pooling: bool = False  # whether it takes `-ap`
    convolutions: bool = True
    enlarges: bool = True  # smaller images to `SMALLEST` px, see `layers.enlarged`
    always_batch_norm: bool = False

    def flags(self) -> dict[str, tuple[str, str]]:
        """Options without a number that it takes: the argument they set, and what that is."""
        return {flag: about for flag, about in _FLAGS.items() if getattr(self, about[0])}

    def described(self) -> str:
        """The options in words."""
        words = [
            f"-{letter}N ({argument}, 1 to {largest})"
            for letter, (argument, largest) in sorted(self.numbers.items())
        ]
        words += [f"-{flag} ({meaning})" for flag, (_, meaning) in self.flags().items()]
        if not words:
            return "no options"
        first = ", ".join(words[:-1])
        return f"{first} and {words[-1]}, each once" if first else f"{words[-1]}, once"


_WIDTH = {"w": ("width", 1024)}


def _resnet(block: type[BasicBlock] | type[Bottleneck], *blocks: int) -> _Family:
    return _Family(
        functools.partial(ResNet, block=block, blocks=blocks), _WIDTH, batch_norm=True, average_pooling=True
    )


def _library(name: str) -> _Family:
    return _Family(functools.partial(LibraryNet, name=name), always_batch_norm=True)


_FAMILIES = {
    "convnet": _Family(ConvNet, {"d": ("depth", 10), "w": ("width", 4096)}, batch_norm=True, enlarges=False),
    "mlp": _Family(MLP, {"w": ("width", 4096)}, convolutions=False, enlarges=False),
    "lenet": _Family(LeNet),
    "alexnet": _Family(AlexNet, batch_norm=True),
    "vgg11": _Family(functools.partial(VGG, stages=VGG11), _WIDTH, batch_norm=True),
    "vgg16": _Family(functools.partial(VGG, stages=VGG16), _WIDTH, batch_norm=True),
    "resnet10": _resnet(BasicBlock, 1, 1, 1, 1),
    "resnet18": _resnet(BasicBlock, 2, 2, 2, 2),
    "resnet34": _resnet(BasicBlock, 3, 4, 6, 3),
    "resnet50": _resnet(Bottleneck, 3, 4, 6, 3),
    "resnet101": _resnet(Bottleneck, 3, 4, 23, 3),
    "vit_small": _Family(ViT),
    **{name: _library(name) for name in LIBRARY},
}


def names() -> list[str]:
    """Names that a specification may start with, sorted."""
    return sorted(_FAMILIES)


def _parse(spec: str) -> tuple[_Family, dict[str, Any]]:
    name, *parts = spec.split("-")
    if name not in _FAMILIES:
        raise ConfigError(f"net: {unknown('net', name, names())}")
    family = _FAMILIES[name]
    arguments: dict[str, Any] = {}
    for part in parts:
        argument = family.flags().get(part, ("", ""))[0]
        if argument and argument not in arguments:
            arguments[argument] = True
            continue
        match = re.fullmatch(r"([a-z])([0-9]{1,6})", part)
        argument, largest = family.numbers.get(match[1], ("", 0)) if match else ("", 0)
        if match is None or argument in arguments or not 1 <= int(match[2]) <= largest:
            raise ConfigError(f"net: bad option {part!r} in {spec!r}; {name} takes {family.described()}")
        arguments[argument] = int(match[2])
    return family, arguments


def validate(spec: str) -> None:
    """Check a specification: a name of `names()`, then options, as in `convnet-d2-w64` or `resnet18-bn-w16`.

    Options come in any order. `-bn` is batch norm; without it a network has instance norm where it has norms
    and a choice: AlexNet, LeNet and MLP have none, ViT has layer norm, torchvision's networks have batch norm. `-ap` is
    average pooling where a ResNet has strides: `resnet10-ap` is IDC's ResNetAP-10.

    Raises:
        ConfigError: the name is unknown, or an option is unknown, out of range or given twice.
    """
    _parse(spec)


def per_image(spec: str) -> bool:
    """Whether the output of an image never depends on the others: there is no batch norm (`Network.per_image`).

    Those that are draw nothing in train mode either (`Network.random`), so that train and eval mode agree.

    Raises:
        ConfigError: see `validate`.
    """
    family, arguments = _parse(spec)
    return not (family.always_batch_norm or arguments.get("batch_norm", False))


def convolutional(spec: str) -> bool:
    """Whether there are convolutions, so that the last map has positions, and gradients of them can be matched.

    Raises:
        ConfigError: see `validate`.
    """
    return _parse(spec)[0].convolutions


def input_side(spec: str, size: int) -> int:
    """Side in pixels that images of `size` px have where a network takes them: all but ConvNet and MLP enlarge them.

    Raises:
        ConfigError: see `validate`.
    """
    return max(size, SMALLEST) if _parse(spec)[0].enlarges else size


def build(spec: str, *, channels: int, size: int, classes: int, generator: torch.Generator) -> Network:
    """Network of `spec` on the CPU, float32, in train mode, drawn from `generator` alone (see `initialise`).

    Args:
        spec: see `validate`.
        channels: of the images, >= 1.
        size: side of the images in pixels, >= 4.
        classes: number of logits, >= 1.
        generator: CPU generator; equal ones give equal bits.

    Raises:
        ConfigError: the specification is wrong or does not fit the images.
    """
    family, arguments = _parse(spec)
    if channels < 1 or size < 4 or classes < 1:
        raise ConfigError(
            f"net: needs at least 1 channel, 4 px and 1 class, got {channels}, {size} px and {classes}"
        )
    net = family.make(channels, size, classes, **arguments)
    initialise(net, generator)
    return net


@functools.cache
def gigaflops(spec: str, *, channels: int, size: int, classes: int) -> float:
    """Arithmetic of one image's forward pass in 10^9 operations: two for each product of a convolution, a linear
    layer or attention, none for the rest. Training takes three times as much, an image gradient alone twice.

    Raises:
        ConfigError: the specification is wrong or does not fit the images.
    """
    from torch.utils.flop_counter import FlopCounterMode

    net = build(spec, channels=channels, size=size, classes=classes, generator=torch.Generator())
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net.eval().to("meta")(torch.empty(1, channels, size, size, device="meta"))
    return float(counter.get_total_flops()) / 1e9
