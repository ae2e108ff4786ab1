"""Layers whose parameters start as uninitialised memory, for `initialise` to fill.

torch's own layers draw from the global random state when they are made; a meta device avoids that at
0.8 s for the first network of a process and twice the time for every later one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv2d(nn.Conv2d):
    """Convolution that draws nothing when it is made."""

    def reset_parameters(self) -> None:
        """Leave the parameters as they are."""


class Linear(nn.Linear):
    """Linear layer that draws nothing when it is made."""

    def reset_parameters(self) -> None:
        """Leave the parameters as they are."""


def instance_norm(channels: int) -> nn.GroupNorm:
    """Instance normalisation with weights, as the field builds it: one group a channel."""
    return nn.GroupNorm(channels, channels, affine=True)


class Halve(nn.Module):
    """2x2 average pooling with stride 2; an odd last row or column is left out, as by `nn.AvgPool2d(2)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) to (N, C, H // 2, W // 2)."""
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.avg_pool2d(x, 2)
        # Uncompiled, a depthwise convolution gives the same bits on the CPU in half the time of torch's pooling.
        return F.conv2d(x, x.new_full((x.shape[1], 1, 2, 2), 0.25), stride=2, groups=x.shape[1])
