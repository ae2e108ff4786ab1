"""LeNet, the smallest convolutional network of the field's cross-architecture tables."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from raydd.nets.layers import SMALLEST, Conv2d, Linear, enlarged
from raydd.nets.network import Network


class LeNet(Network):
    """Two 5x5 convolutions (6 and 16 channels), each with ReLU and 2x2 max pooling, then 120, 84 and the logits.

    As in DC's `networks.py`, without norms. Images under 32 px are enlarged to 32 px (bilinear) inside the network.

    Args:
        channels, size, classes: of the images; size is the side in pixels.
    """

    def __init__(self, channels: int, size: int, classes: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, 6, kernel_size=5)
        self.conv2 = Conv2d(6, 16, kernel_size=5)
        side = ((max(size, SMALLEST) - 4) // 2 - 4) // 2
        self.hidden1 = Linear(16 * side * side, 120)
        self.hidden2 = Linear(120, 84)
        self.feature_size = 84
        self.classifier = Linear(84, classes)

    def local_features(self, x: Tensor) -> Tensor:
        """The second convolution's map after its pooling, (N, 16, positions)."""
        return F.max_pool2d(self.unpooled_features(x), 2).flatten(2)

    def unpooled_features(self, x: Tensor) -> Tensor:
        """The second convolution's map before its pooling, (N, 16, h, w), >= 0."""
        x = F.max_pool2d(F.relu(self.conv1(enlarged(x))), 2)
        return F.relu(self.conv2(x))

    def pooled(self, local: Tensor) -> Tensor:
        """The second hidden layer, (N, 84), of `local_features` (N, 16, positions)."""
        return F.relu(self.hidden2(F.relu(self.hidden1(local.flatten(1)))))

    def embed(self, x: Tensor) -> Tensor:
        """The second hidden layer, (N, 84)."""
        return self.pooled(self.local_features(x))
