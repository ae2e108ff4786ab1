"""MLP, the network without a convolution of the field's cross-architecture tables."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from raydd.nets.layers import Linear
from raydd.nets.network import Network


class MLP(Network):
    """Two hidden layers of one width with ReLU, then a linear layer, as in DC's `networks.py`.

    The second hidden layer counts as a map of one position.

    Args:
        channels, size, classes: of the images; size is the side in pixels.
        width: units of a hidden layer.
    """

    def __init__(self, channels: int, size: int, classes: int, width: int = 128) -> None:
        super().__init__()
        self.hidden1 = Linear(channels * size * size, width)
        self.hidden2 = Linear(width, width)
        self.feature_size = width
        self.classifier = Linear(width, classes)

    def local_features(self, x: Tensor) -> Tensor:
        """The second hidden layer, (N, width, 1)."""
        return F.relu(self.hidden2(F.relu(self.hidden1(x.flatten(1))))).unsqueeze(2)

    def unpooled_features(self, x: Tensor) -> Tensor:
        """The second hidden layer, (N, width, 1, 1), >= 0."""
        return self.local_features(x).unsqueeze(3)
