"""The papers' networks out of torch.nn's own layers, drawn from the global random state when they are made."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNet(nn.Module):
    """Three blocks of conv3x3, one-group-a-channel norm, ReLU, 2x2 average pooling; then a linear layer."""

    def __init__(self, channels: int, size: int, classes: int, width: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (channels, width, width):
            layers.append(nn.Conv2d(inputs, width, kernel_size=3, padding=1))
            layers.append(nn.GroupNorm(width, width, affine=True))
            layers.append(nn.ReLU(inplace=True))
            layers.append(nn.AvgPool2d(kernel_size=2, stride=2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width * (size // 8) ** 2, classes)

    def local(self, x: Tensor) -> Tensor:
        """Last feature map, (N, width, size/8, size/8)."""
        features: Tensor = self.features(x)
        return features

    def embed(self, x: Tensor) -> Tensor:
        """The map, flattened."""
        return self.local(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.classifier(self.embed(x))
        return logits


def norm(channels: int, batch: bool) -> nn.Module:
    """Batch norm, or one group a channel."""
    return nn.BatchNorm2d(channels) if batch else nn.GroupNorm(channels, channels, affine=True)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, batch_norm: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm1 = norm(outputs, batch_norm)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False)
        self.norm2 = norm(outputs, batch_norm)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False),
                norm(outputs, batch_norm),
            )

    def forward(self, x: Tensor) -> Tensor:
        """One residual block."""
        out = F.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class ResNet18(nn.Module):
    """CIFAR stem, four stages of two blocks, average pooling of the 4x4 map that 32 px give."""

    def __init__(self, channels: int, classes: int, width: int = 64, batch_norm: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False)
        self.norm1 = norm(width, batch_norm)
        blocks, inputs = [], width
        for stage in range(4):
            outputs = width * 2**stage
            blocks.append(Block(inputs, outputs, 1 if stage == 0 else 2, batch_norm))
            blocks.append(Block(outputs, outputs, 1, batch_norm))
            inputs = outputs
        self.layers = nn.Sequential(*blocks)
        self.classifier = nn.Linear(inputs, classes)

    def embed(self, x: Tensor) -> Tensor:
        """Pooled features, (N, 8 * width)."""
        out = F.relu(self.norm1(self.conv1(x)))
        out = self.layers(out)
        return F.avg_pool2d(out, out.shape[2:]).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.classifier(self.embed(x))
        return logits


@torch.no_grad()
def copy_weights(weights: Iterable[Tensor], net: nn.Module) -> None:
    """Fill `net` with the parameters of another implementation, which come in the same order."""
    for mine, given in zip(net.parameters(), weights, strict=True):
        if mine.shape != given.shape:
            raise ValueError(f"a weight of shape {tuple(given.shape)} does not fit {tuple(mine.shape)}")
        mine.copy_(given)


@torch.no_grad()
def copy_all(given: nn.Module, net: nn.Module) -> None:
    """Fill `net` with parameters and buffers of another implementation, which come in the same order."""
    copy_weights(given.parameters(), net)
    for mine, buffer in zip(net.buffers(), given.buffers(), strict=True):
        mine.copy_(buffer)
