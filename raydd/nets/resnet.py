"""ResNets of instance or batch norm: ResNet-18, which IID's pool is made of, and others, also IDC's ResNetAP."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raydd.nets.layers import IMAGENET_STEM, Conv2d, Halve, Linear, enlarged, norm
from raydd.nets.network import Network


def _shortcut(
    inputs: int, outputs: int, stride: int, batch_norm: bool, average_pooling: bool
) -> nn.Sequential:
    """The identity, or a 1x1 convolution and a norm where the shape changes."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    convolution = Conv2d(inputs, outputs, kernel_size=1, stride=1 if average_pooling else stride, bias=False)
    return nn.Sequential(convolution, *_pooling(stride, average_pooling), norm(outputs, batch_norm))


def _pooling(stride: int, average_pooling: bool) -> list[nn.Module]:
    """The average pooling that takes the place of a stride, which is 2."""
    return [Halve()] if average_pooling and stride > 1 else []


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with norms and a shortcut.

    Args:
        inputs, width: channels that come in, and of the convolutions.
        stride: of the first convolution and the shortcut.
        batch_norm: whether the norms are batch instead of instance norms.
        average_pooling: whether average pooling takes the place of the strides, behind the first activation.
    """

    expansion = 1

    def __init__(
        self, inputs: int, width: int, stride: int, batch_norm: bool = False, average_pooling: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = Conv2d(
            inputs, width, kernel_size=3, stride=1 if average_pooling else stride, padding=1, bias=False
        )
        self.norm1 = norm(width, batch_norm)
        self.pool = nn.Sequential(*_pooling(stride, average_pooling))
        self.conv2 = Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.norm2 = norm(width, batch_norm)
        self.shortcut = _shortcut(inputs, width, stride, batch_norm, average_pooling)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, width, H/stride, W/stride)."""
        out = self.pool(F.relu(self.norm1(self.conv1(x)), inplace=True))
        return F.relu(self.norm2(self.conv2(out)) + self.shortcut(x), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with norms and a shortcut; the 3x3 one has the stride, as torchvision's.

    Args:
        inputs, width, stride, batch_norm: see `BasicBlock`.
        average_pooling: the same, behind the second activation.
    """

    expansion = 4

    def __init__(
        self, inputs: int, width: int, stride: int, batch_norm: bool = False, average_pooling: bool = False
    ) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = Conv2d(inputs, width, kernel_size=1, bias=False)
        self.norm1 = norm(width, batch_norm)
        self.conv2 = Conv2d(
            width, width, kernel_size=3, stride=1 if average_pooling else stride, padding=1, bias=False
        )
        self.norm2 = norm(width, batch_norm)
        self.pool = nn.Sequential(*_pooling(stride, average_pooling))
        self.conv3 = Conv2d(width, outputs, kernel_size=1, bias=False)
        self.norm3 = norm(outputs, batch_norm)
        self.shortcut = _shortcut(inputs, outputs, stride, batch_norm, average_pooling)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, 4 * width, H/stride, W/stride)."""
        out = F.relu(self.norm1(self.conv1(x)), inplace=True)
        out = self.pool(F.relu(self.norm2(self.conv2(out)), inplace=True))
        return F.relu(self.norm3(self.conv3(out)) + self.shortcut(x), inplace=True)


class ResNet(Network):
    """Stem, four stages of residual blocks with w, 2w, 4w, 8w channels, global average pooling.

    Below 128 px the stem is conv3x3, as the field has it for CIFAR; from 128 px on it is ImageNet's: conv7x7 of
    stride 2 and 3x3 max pooling of stride 2. Images under 32 px are enlarged to 32 px (bilinear) inside the
    network. `embed` is the pooled (N, D) vector, D = 8w times the block's expansion; `local_features` is stage 4
    before pooling.

    With `average_pooling` it is IDC's ResNetAP (models/resnet_ap.py): average pooling of the same factor stands
    wherever there was a stride or max pooling, and convolutions start normal by fan-out (He et al., ICCV 2015) as
    there, which an instance norm takes out of the features but not of the gradients. From 65 to 128 px the authors
    have another stem, conv3x3 and one halving; here the stem changes at 128 px, as that of all networks.

    Args:
        channels, size, classes: of the images; size is the side in pixels.
        width: w, channels of the stem and of the first stage.
        batch_norm: whether the norms are batch instead of instance norms.
        average_pooling: whether it is a ResNetAP.
        block: kind of the blocks.
        blocks: how many each stage has.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        width: int = 64,
        batch_norm: bool = False,
        average_pooling: bool = False,
        block: type[BasicBlock] | type[Bottleneck] = BasicBlock,
        blocks: Sequence[int] = (2, 2, 2, 2),
    ) -> None:
        super().__init__()
        self.large = size >= IMAGENET_STEM
        self.average_pooling = self.he_normal = average_pooling
        if self.large:
            stride = 1 if average_pooling else 2
            self.stem = Conv2d(channels, width, kernel_size=7, stride=stride, padding=3, bias=False)
        else:
            self.stem = Conv2d(channels, width, kernel_size=3, padding=1, bias=False)
        self.norm = norm(width, batch_norm)
        stages: list[nn.Module] = []
        inputs = width
        for stage, count in enumerate(blocks):
            for number in range(count):
                stride = 2 if stage > 0 and number == 0 else 1
                stages.append(block(inputs, width * 2**stage, stride, batch_norm, average_pooling))
                inputs = width * 2**stage * block.expansion
        self.stages = nn.Sequential(*stages)
        self.feature_size = inputs
        self.classifier = Linear(inputs, classes)

    def _stage4(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(enlarged(x))), inplace=True)
        if self.large:
            x = (
                F.avg_pool2d(x, 4)
                if self.average_pooling
                else F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
            )
        features: Tensor = self.stages(x)
        return features

    def local_features(self, x: Tensor) -> Tensor:
        """Stage 4's output before pooling, (N, D, positions)."""
        return self._stage4(x).flatten(2)

    def unpooled_features(self, x: Tensor) -> Tensor:
        """Stage 4's output before the global average pooling, (N, D, h, w)."""
        return self._stage4(x)

    def embed(self, x: Tensor) -> Tensor:
        """Stage 4's output averaged over all positions, (N, D)."""
        return torch.mean(self._stage4(x), dim=(2, 3))
