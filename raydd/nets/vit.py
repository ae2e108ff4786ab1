"""ViT-small, a vision transformer without a class token."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from raydd.nets.layers import SMALLEST, Conv2d, Linear, Positions, enlarged
from raydd.nets.network import Network


class Attention(nn.Module):
    """Multi-head self-attention, written out: torch's own computes otherwise in eval mode and on other devices,
    and cannot be differentiated twice."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = Linear(width, 3 * width)
        self.output = Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences (N, positions, width) to the same."""
        images, positions, width = x.shape
        split = self.inputs(x).reshape(images, positions, 3, self.heads, width // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4).unbind(0)
        scores = queries @ keys.transpose(2, 3) / (width // self.heads) ** 0.5
        read = scores.softmax(dim=3) @ values
        output: Tensor = self.output(read.transpose(1, 2).reshape(images, positions, width))
        return output


class TransformerBlock(nn.Module):
    """Attention, then two linear layers with GELU between them, each on normalised inputs and with a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.hidden = Linear(width, 4 * width)
        self.output = Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences (N, positions, width) to the same."""
        x = x + self.attention(self.norm1(x))
        shift: Tensor = self.output(F.gelu(self.hidden(self.norm2(x))))
        return x + shift


class ViT(Network):
    """Patches, learned positions, transformer blocks with norms in front, a last norm, mean over the positions.

    The width, depth and heads of DeiT-small; the mean in place of a class token is that of Beyer, Zhai and
    Kolesnikov, Better plain ViT baselines for ImageNet-1k (arXiv 2205.01580). There is no dropout. Patches are
    4 px wide for images up to 64 px, 16 px above; pixels that fill no patch, at the right and below, are not seen.
    Images under 32 px are enlarged to 32 px (bilinear) inside the network.

    Args:
        channels, size, classes: of the images; size is the side in pixels.
        width: of the vector of a position.
        depth: blocks.
        heads: of the attention; they share the width.
    """

    def __init__(
        self, channels: int, size: int, classes: int, width: int = 384, depth: int = 12, heads: int = 6
    ) -> None:
        super().__init__()
        patch = 4 if size <= 64 else 16
        self.side = max(size, SMALLEST) // patch
        self.patches = Conv2d(channels, width, kernel_size=patch, stride=patch)
        self.positions = Positions(self.side**2, width)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.feature_size = width
        self.classifier = Linear(width, classes)

    def local_features(self, x: Tensor) -> Tensor:
        """The last norm's output, (N, width, positions), of any sign."""
        sequence = self.positions(self.patches(enlarged(x)).flatten(2).transpose(1, 2))
        features: Tensor = self.norm(self.blocks(sequence))
        return features.transpose(1, 2)

    def unpooled_features(self, x: Tensor) -> Tensor:
        """The last norm's output, (N, width, h, w), of any sign; before training its mean over the width is 0."""
        return self.local_features(x).unflatten(2, (self.side, self.side))

    def embed(self, x: Tensor) -> Tensor:
        """The last norm's output averaged over all positions, (N, width)."""
        return self.pooled(self.local_features(x))
