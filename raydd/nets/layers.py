"""Layers whose parameters start as uninitialised memory, for `initialise` to fill, and what all architectures share.

torch's own layers draw from the global random state when they are made; a meta device avoids that at
0.8 s for the first network of a process and twice the time for every later one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 32
"""Side in pixels that smaller images are enlarged to by all architectures but ConvNet and MLP: deep in them
the map would have one position, which instance norm turns into a constant."""

IMAGENET_STEM = 128
"""Side in pixels from which on the stem is the one made for ImageNet, which divides the side by four."""


class Conv2d(nn.Conv2d):
    """Convolution that draws nothing when it is made."""

    def reset_parameters(self) -> None:
        """Leave the parameters as they are."""


class Linear(nn.Linear):
    """Linear layer that draws nothing when it is made."""

    def reset_parameters(self) -> None:
        """Leave the parameters as they are."""


class Positions(nn.Module):
    """One learned vector for every position of a sequence, added to it.

    Args:
        count: positions.
        width: length of a vector.
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, width))

    def forward(self, x: Tensor) -> Tensor:
        """Sequences (N, count, width) to the same."""
        return x + self.weight


def instance_norm(channels: int) -> nn.GroupNorm:
    """Instance normalisation with weights, as the field builds it: one group a channel."""
    return nn.GroupNorm(channels, channels, affine=True)


def norm(channels: int, batch: bool) -> nn.Module:
    """Batch normalisation with torch's eps 1e-5 and momentum 0.1, or instance normalisation."""
    return nn.BatchNorm2d(channels) if batch else instance_norm(channels)


def enlarged(x: Tensor) -> Tensor:
    """Images (N, C, S, S), brought bilinearly to 32 px where they are smaller."""
    if x.shape[-1] >= SMALLEST:
        return x
    return F.interpolate(x, size=(SMALLEST, SMALLEST), mode="bilinear", align_corners=False)


class Halve(nn.Module):
    """2x2 average pooling with stride 2; an odd last row or column is left out, as by `nn.AvgPool2d(2)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) to (N, C, H // 2, W // 2)."""
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.avg_pool2d(x, 2)
        # Uncompiled, a depthwise convolution gives the same bits on the CPU in half the time of torch's pooling.
        return F.conv2d(x, x.new_full((x.shape[1], 1, 2, 2), 0.25), stride=2, groups=x.shape[1])
