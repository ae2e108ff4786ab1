"""VGG-11 and VGG-16 as the field makes them for 32 px: one linear layer instead of three."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from raydd.nets.layers import Conv2d, Linear, enlarged, norm
from raydd.nets.network import Network

VGG11 = (1, 1, 2, 2, 2)
"""3x3 convolutions of each stage."""
VGG16 = (2, 2, 3, 3, 3)


class VGG(Network):
    """Five stages of conv3x3, norm and ReLU with w, 2w, 4w, 8w, 8w channels, each ended by 2x2 max pooling.

    As in DC's `networks.py`, and averaged over the positions that larger images leave (one at 32 px). Images under
    32 px are enlarged to 32 px (bilinear) inside the network.

    Args:
        channels, size, classes: of the images; size is the side in pixels.
        width: w.
        batch_norm: whether the norms are batch instead of instance norms.
        stages: convolutions of each stage.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        classes: int,
        width: int = 64,
        batch_norm: bool = False,
        stages: Sequence[int] = VGG11,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = channels
        for stage, convolutions in enumerate(stages):
            outputs = width * 2 ** min(stage, 3)
            for _ in range(convolutions):
                layers += [
                    Conv2d(inputs, outputs, kernel_size=3, padding=1),
                    norm(outputs, batch_norm),
                    nn.ReLU(inplace=True),
                ]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.stages = nn.Sequential(*layers)
        self.feature_size = inputs
        self.classifier = Linear(inputs, classes)

    def local_features(self, x: Tensor) -> Tensor:
        """The last stage's output after its max pooling, (N, 8w, positions)."""
        return self.unpooled_features(x).flatten(2)

    def unpooled_features(self, x: Tensor) -> Tensor:
        """The last stage's output before the average over the positions, (N, 8w, h, w), >= 0."""
        features: Tensor = self.stages(enlarged(x))
        return features

    def embed(self, x: Tensor) -> Tensor:
        """The last stage's output averaged over all positions, (N, 8w)."""
        return self.pooled(self.local_features(x))
