"""The base of all networks: images to local features to one feature vector to logits."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Network(nn.Module, ABC):
    """A classifier whose features can be read. Train and eval mode compute the same.

    Every normalisation is a per-image one, so the output of one image never depends on the others.
    A subclass makes its parameters as uninitialised memory (`raydd.nets.layers`); `build` fills them.

    Attributes:
        feature_size: D, length of the vector that `embed` gives for one image.
        classifier: linear layer from D features to the logits.
    """

    feature_size: int
    classifier: nn.Linear

    @abstractmethod
    def local_features(self, x: Tensor) -> Tensor:
        """Last feature map (N, C, H*W), positions flattened, of normalised images (N, channels, size, size)."""

    @abstractmethod
    def unpooled_features(self, x: Tensor) -> Tensor:
        """Last block's output before its last pooling, (N, C, h, w), >= 0, of normalised images."""

    def embed(self, x: Tensor) -> Tensor:
        """Features before the classifier, (N, D); here the flattened `local_features`."""
        return torch.flatten(self.local_features(x), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of normalised images (N, channels, size, size)."""
        logits: Tensor = self.classifier(self.embed(x))
        return logits
