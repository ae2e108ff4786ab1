"""FLOPs of the reference networks, counted by torch on tensors without memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks.reference.nets import ConvNet, ResNet18


class _Counter(TorchDispatchMode):
    """torch's own `FlopCounterMode` without its sums by module, for which it refuses gradients of gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += int(formula(*args, **(kwargs or {}), out_val=out))
        return out


def count(work: Callable[[], object]) -> int:
    """FLOPs of the matrix products and convolutions in `work`, a multiply-add as two."""
    with _Counter() as counter:
        work()
    return counter.total


def forward(net: nn.Module, images: int, channels: int, size: int) -> int:
    """FLOPs of logits for `images` images; `net` on the meta device."""
    return count(lambda: net(_images(images, channels, size)))


def training(net: nn.Module, images: int, channels: int, size: int) -> int:
    """FLOPs of one training step: forward, and the gradients of all weights."""
    net.requires_grad_(True)
    return count(lambda: net(_images(images, channels, size)).sum().backward())


def embedding(net: ConvNet | ResNet18, images: int, channels: int, size: int) -> int:
    """FLOPs of features before the classifier, without any gradient."""
    net.requires_grad_(False)
    return count(lambda: net.embed(_images(images, channels, size)))


def image_gradient(net: ConvNet | ResNet18, images: int, channels: int, size: int) -> int:
    """FLOPs of features before the classifier and of their gradient on the images, with frozen weights."""
    net.requires_grad_(False)
    leaf = _images(images, channels, size).requires_grad_()
    return count(lambda: net.embed(leaf).sum().backward())


def _images(images: int, channels: int, size: int) -> torch.Tensor:
    return torch.empty(images, channels, size, size, device="meta")
