"""ResNet-18 with the CIFAR stem and instance norm, the extractor that IID's pool is made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raydd.nets.layers import Conv2d, Linear, instance_norm
from raydd.nets.network import Network

SMALLEST = 32
"""Side in pixels that smaller images are enlarged to: stage 4 would have one position, which instance
norm turns into a constant."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with instance norm and a shortcut; a 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1 = instance_norm(outputs)
        self.conv2 = Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.norm2 = instance_norm(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), instance_norm(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H/stride, W/stride)."""
        out = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(out)) + self.shortcut(x), inplace=True)


class ResNet18(Network):
    """Stem conv3x3, four stages of two blocks with w, 2w, 4w, 8w channels, global average pooling.

    `embed` is the pooled (N, 8w) vector; `local_features` is stage 4 before pooling. Images under 32 px
    are enlarged to 32 px (bilinear) inside the network.

    Args:
        channels, size, classes: of the images; size is the side in pixels.
        width: w, channels of the stem and of the first stage.
    """

    def __init__(self, channels: int, size: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.enlarge = size < SMALLEST
        self.stem = Conv2d(channels, width, kernel_size=3, padding=1, bias=False)
        self.norm = instance_norm(width)
        blocks, inputs = [], width
        for stage in range(4):
            outputs = width * 2**stage
            blocks += [BasicBlock(inputs, outputs, 1 if stage == 0 else 2), BasicBlock(outputs, outputs, 1)]
            inputs = outputs
        self.stages = nn.Sequential(*blocks)
        self.feature_size = inputs
        self.classifier = Linear(inputs, classes)

    def _stage4(self, x: Tensor) -> Tensor:
        if self.enlarge:
            x = F.interpolate(x, size=(SMALLEST, SMALLEST), mode="bilinear", align_corners=False)
        features: Tensor = self.stages(F.relu(self.norm(self.stem(x)), inplace=True))
        return features

    def local_features(self, x: Tensor) -> Tensor:
        """Stage 4's output before pooling, (N, 8w, positions)."""
        return self._stage4(x).flatten(2)

    def unpooled_features(self, x: Tensor) -> Tensor:
        """Stage 4's output before the global average pooling, (N, 8w, h, w)."""
        return self._stage4(x)

    def embed(self, x: Tensor) -> Tensor:
        """Stage 4's output averaged over all positions, (N, 8w)."""
        return torch.mean(self._stage4(x), dim=(2, 3))
