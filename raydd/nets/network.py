"""The base of all networks: images to local features to one feature vector to logits."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Network(nn.Module, ABC):
    """A classifier whose features can be read.

    Where it is `per_image` and not `random`, train and eval mode compute the same.
    A subclass makes its parameters as uninitialised memory (`raydd.nets.layers`); `build` fills them.

    Attributes:
        feature_size: D, length of the vector that `embed` gives for one image.
        classifier: linear layer from D features to the logits.
        random: whether it draws from the global random state in train mode (dropout, stochastic depth).
        he_normal: whether its convolutions start normal by fan-out, see `raydd.nets.initialise`.
    """

    feature_size: int
    classifier: nn.Linear
    random: bool = False
    he_normal: bool = False

    @property
    def per_image(self) -> bool:
        """Whether the output of an image never depends on the others: it has no batch normalisation.

        Otherwise that holds in eval mode only, and a forward pass in train mode moves the running statistics.
        """
        return not any(isinstance(module, nn.BatchNorm2d) for module in self.modules())

    @abstractmethod
    def local_features(self, x: Tensor) -> Tensor:
        """Last feature map (N, C, H*W), positions flattened, of normalised images (N, channels, size, size)."""

    @abstractmethod
    def unpooled_features(self, x: Tensor) -> Tensor:
        """Last block's output before its last pooling, (N, C, h, w), of normalised images.

        It is >= 0 wherever the last activation is a ReLU, which is everywhere but in EfficientNet and ViT.
        """

    def pooled(self, local: Tensor) -> Tensor:
        """Features before the classifier, (N, D), of `local_features` (N, C, positions).

        Here the features, flattened, where they are as many as D, else averaged over the positions.
        """
        return local.flatten(1) if local[0].numel() == self.feature_size else local.mean(dim=2)

    def embed(self, x: Tensor) -> Tensor:
        """Features before the classifier, (N, D); here the flattened `local_features`."""
        return torch.flatten(self.local_features(x), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of normalised images (N, channels, size, size)."""
        logits: Tensor = self.classifier(self.embed(x))
        return logits
