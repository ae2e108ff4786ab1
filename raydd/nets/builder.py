"""Network specifications such as `convnet-d2-w64`: parsing, checking and building."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch

from raydd.errors import ConfigError, unknown
from raydd.nets.convnet import ConvNet
from raydd.nets.initialise import initialise
from raydd.nets.network import Network
from raydd.nets.resnet import ResNet18


@dataclass(frozen=True)
class _Family:
    make: Callable[..., Network]
    options: dict[str, tuple[str, int]]  # letter -> (argument of `make`, largest value)


_FAMILIES = {
    "convnet": _Family(ConvNet, {"d": ("depth", 10), "w": ("width", 4096)}),
    "resnet18": _Family(ResNet18, {"w": ("width", 1024)}),
}


def names() -> list[str]:
    """Names that a specification may start with, sorted."""
    return sorted(_FAMILIES)


def _parse(spec: str) -> tuple[_Family, dict[str, int]]:
    name, *parts = spec.split("-")
    if name not in _FAMILIES:
        raise ConfigError(f"net: {unknown('net', name, names())}")
    family = _FAMILIES[name]
    allowed = " and ".join(
        f"-{letter}N ({argument}, 1 to {largest})"
        for letter, (argument, largest) in sorted(family.options.items())
    )
    arguments: dict[str, int] = {}
    for part in parts:
        match = re.fullmatch(r"([a-z])([0-9]{1,6})", part)
        argument, largest = family.options.get(match[1], ("", 0)) if match else ("", 0)
        if match is None or argument in arguments or not 1 <= int(match[2]) <= largest:
            raise ConfigError(f"net: bad option {part!r} in {spec!r}; {name} takes {allowed}, each once")
        arguments[argument] = int(match[2])
    return family, arguments


def validate(spec: str) -> None:
    """Check a specification: a name of `names()`, then options, as in `convnet-d2-w64` or `resnet18-w16`.

    Raises:
        ConfigError: the name is unknown, or an option is unknown, out of range or given twice.
    """
    _parse(spec)


def build(spec: str, *, channels: int, size: int, classes: int, generator: torch.Generator) -> Network:
    """Network of `spec` on the CPU, float32, drawn from `generator` alone (see `initialise`).

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
    """Arithmetic of one image's forward pass in 10^9 operations: two for each product of a convolution or a
    linear layer, none for the rest. Training takes three times as much, an image gradient alone twice.

    Raises:
        ConfigError: the specification is wrong or does not fit the images.
    """
    from torch.utils.flop_counter import FlopCounterMode

    net = build(spec, channels=channels, size=size, classes=classes, generator=torch.Generator())
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        net.to("meta")(torch.empty(1, channels, size, size, device="meta"))
    return float(counter.get_total_flops()) / 1e9
