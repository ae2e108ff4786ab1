"""AlexNet as the field makes it for 32 px."""

from __future__ import annotations

from torch import Tensor, nn

from raydd.nets.layers import SMALLEST, Conv2d, Linear, enlarged
from raydd.nets.network import Network

# Channels, side of the kernel, and whether 2x2 max pooling follows.
LAYERS = ((128, 5, True), (192, 5, True), (256, 3, False), (192, 3, False), (192, 3, True))


class AlexNet(Network):
    """Five convolutions with ReLU, 2x2 max pooling after the first, second and last, then one linear layer.

    As in DC's `networks.py`: without norms, or with batch norm after each convolution. Images under 32 px are
    enlarged to 32 px (bilinear) inside the network.

    Args:
        channels, size, classes: of the images; size is the side in pixels.
        batch_norm: whether there are norms.
    """

    def __init__(self, channels: int, size: int, classes: int, batch_norm: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        side, inputs = max(size, SMALLEST), channels
        for outputs, kernel, pools in LAYERS:
            layers.append(Conv2d(inputs, outputs, kernel_size=kernel, padding=kernel // 2))
            if batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.ReLU(inplace=True))
            if pools:
                layers.append(nn.MaxPool2d(2))
                side //= 2
            inputs = outputs
        self.blocks = nn.Sequential(*layers[:-1])
        self.pool = layers[-1]
        self.feature_size = inputs * side * side
        self.classifier = Linear(self.feature_size, classes)

    def local_features(self, x: Tensor) -> Tensor:
        """The last block's map after its max pooling, (N, 192, positions)."""
        features: Tensor = self.pool(self.unpooled_features(x))
        return features.flatten(2)

    def unpooled_features(self, x: Tensor) -> Tensor:
        """The last block's map before its max pooling, (N, 192, h, w), >= 0."""
        features: Tensor = self.blocks(enlarged(x))
        return features
