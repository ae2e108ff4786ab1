"""Layers whose parameters start as uninitialised memory, for `initialise` to fill.

torch's own layers draw from the global random state when they are made; a meta device avoids that at
0.8 s for the first network of a process and twice the time for every later one.
"""

from __future__ import annotations

from torch import nn


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
