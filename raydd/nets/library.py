"""Networks of torchvision, brought to small images and to our interface."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from raydd import vision
from raydd.nets.layers import IMAGENET_STEM, Conv2d, Linear, enlarged
from raydd.nets.network import Network


def _ready_features(model: nn.Module) -> nn.Module:
    features = model.features
    assert isinstance(features, nn.Module)
    return features


def _densenet_features(model: nn.Module) -> nn.Module:
    features = _ready_features(model)
    features.add_module("relu5", nn.ReLU(inplace=True))
    return features


def _shufflenet_features(model: nn.Module) -> nn.Module:
    names = ("conv1", "maxpool", "stage2", "stage3", "stage4", "conv5")
    return nn.Sequential(OrderedDict((name, getattr(model, name)) for name in names))


LIBRARY: dict[str, Callable[[nn.Module], nn.Module]] = {
    "mobilenet_v2": _ready_features,
    "shufflenet_v2_x0_5": _shufflenet_features,
    "shufflenet_v2_x1_0": _shufflenet_features,
    "efficientnet_b0": _ready_features,
    "densenet121": _densenet_features,
}
"""What of each network makes the last feature map, in one module."""


class LibraryNet(Network):
    """A network of torchvision with batch norm: its features, global average pooling, dropout, a linear layer.

    From 128 px on it is torchvision's. Below, its first two halvings of the map are left out, so that three
    remain as in a ResNet: a strided convolution there has stride 1, and a 7x7 one becomes 3x3; a max pooling is
    taken out. Images under 32 px are enlarged to 32 px (bilinear) inside the network.

    torchvision draws the parameters from the global random state, which is put back afterwards; `initialise` then
    fills all of them from its generator with torch's default distributions, as it fills those of all networks.

    Args:
        channels, size, classes: of the images; size is the side in pixels.
        name: of `LIBRARY`.
    """

    def __init__(self, channels: int, size: int, classes: int, name: str) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            model = getattr(vision.models(), name)(weights=None)
        self.features = LIBRARY[name](model)
        _take_channels(self.features, channels)
        if size < IMAGENET_STEM:
            _keep_side(self.features)
        self.dropout = next((m for m in model.modules() if isinstance(m, nn.Dropout)), nn.Identity())
        linear = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        self.feature_size = linear.in_features
        self.classifier = Linear(linear.in_features, classes)
        # Dropout, and torchvision's StochasticDepth.
        self.random = any(getattr(module, "p", 0.0) > 0.0 for module in self.modules())

    def local_features(self, x: Tensor) -> Tensor:
        """The last convolution's map, (N, D, positions)."""
        return self.unpooled_features(x).flatten(2)

    def unpooled_features(self, x: Tensor) -> Tensor:
        """The last convolution's map, (N, D, h, w); >= 0, but for EfficientNet, whose SiLU goes down to -0.28."""
        features: Tensor = self.features(enlarged(x))
        return features

    def embed(self, x: Tensor) -> Tensor:
        """The last map averaged over all positions, (N, D), before dropout."""
        return self.pooled(self.local_features(x))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of normalised images (N, channels, size, size)."""
        logits: Tensor = self.classifier(self.dropout(self.embed(x)))
        return logits


def _convolutions(features: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    return [(name, module) for name, module in features.named_modules() if isinstance(module, nn.Conv2d)]


def _take_channels(features: nn.Module, channels: int) -> None:
    """Let the first convolution read `channels` channels."""
    name, stem = _convolutions(features)[0]
    _put(features, name, _stem(channels, stem.out_channels, stem.kernel_size[0], stem.stride[0]))


def _keep_side(features: nn.Module) -> None:
    """Take the first two halvings of the map out."""
    name, stem = _convolutions(features)[0]
    _put(features, name, _stem(stem.in_channels, stem.out_channels, kernel=3, stride=1))
    pools = [name for name, module in features.named_modules() if isinstance(module, nn.MaxPool2d)]
    if pools:
        _put(features, pools[0], nn.Identity())
    else:
        strided = next(module for _, module in _convolutions(features) if module.stride == (2, 2))
        strided.stride = (1, 1)


def _stem(inputs: int, outputs: int, kernel: int, stride: int) -> Conv2d:
    return Conv2d(inputs, outputs, kernel_size=kernel, stride=stride, padding=kernel // 2, bias=False)


def _put(features: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(features.get_submodule(parent), last, module)
