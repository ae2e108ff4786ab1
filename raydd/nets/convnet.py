"""ConvNet-D, the small network that the field distils and evaluates with."""

from __future__ import annotations

from torch import Tensor, nn

from raydd.errors import ConfigError
from raydd.nets.layers import Conv2d, Halve, Linear, norm
from raydd.nets.network import Network


def default_depth(size: int) -> int:
    """Blocks for images of `size` px: min(3, floor(log2(size)) - 1), at least 1, and 4 from 64 px on."""
    return 4 if size >= 64 else max(1, min(3, size.bit_length() - 2))


class ConvNet(Network):
    """D blocks of conv3x3, norm, ReLU, 2x2 average pooling, then one linear layer.

    `Conv(width, 3x3, bias) -> GroupNorm(width, width) -> ReLU -> AvgPool2`, as in the reference code of
    DC, DM, IDM and IDC. The first convolution pads by 3 at 28 px only, which makes the map 32 px wide.

    Args:
        channels, size, classes: of the images; size is the side in pixels.
        width: channels of every block.
        depth: number of blocks; None is `default_depth(size)`.
        batch_norm: whether the norm is batch instead of instance norm.

    Raises:
        ConfigError: the image is too small to be halved `depth` times.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        width: int = 128,
        depth: int | None = None,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        depth = default_depth(size) if depth is None else depth
        side = 32 if size == 28 else size
        if side < 2**depth:
            raise ConfigError(
                f"net: a convnet of depth {depth} halves the image {depth} times and needs at least "
                f"{2**depth} px, got {size}"
            )
        layers: list[nn.Module] = []
        for block in range(depth):
            layers += [
                Conv2d(
                    channels if block == 0 else width,
                    width,
                    kernel_size=3,
                    padding=3 if block == 0 and size == 28 else 1,
                ),
                norm(width, batch_norm),
                nn.ReLU(inplace=True),
                Halve(),
            ]
            side //= 2
        self.blocks = nn.Sequential(*layers)
        self.feature_size = width * side * side
        self.classifier = Linear(self.feature_size, classes)

    def local_features(self, x: Tensor) -> Tensor:
        """Last block's output, (N, width, side*side)."""
        features: Tensor = self.blocks(x)
        return features.flatten(2)

    def unpooled_features(self, x: Tensor) -> Tensor:
        """Last block's output before its 2x2 pooling, (N, width, h, w); `local_features` is its pooling."""
        for layer in list(self.blocks)[:-1]:
            x = layer(x)
        return x
