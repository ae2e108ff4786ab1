"""Networks that a test can follow by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from raydd.nets import Network, initialise
from raydd.nets.layers import Linear
from raydd.seeding import generator


class LinearNet(Network):
    """One linear layer on the pixels, and dropout of the pixels where `dropout` is above 0."""

    def __init__(self, inputs: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.feature_size = inputs
        self.classifier = Linear(inputs, classes)
        self.dropout = nn.Dropout(dropout)
        self.random = dropout > 0.0

    def local_features(self, x: Tensor) -> Tensor:
        return self.dropout(x).flatten(1)[:, :, None]

    def unpooled_features(self, x: Tensor) -> Tensor:
        return x


def make_linear(inputs: int = 16, classes: int = 3, dropout: float = 0.0) -> LinearNet:
    net = LinearNet(inputs, classes, dropout)
    initialise(net, generator(0, "net"))
    return net


def make_whole_numbers(inputs: int = 16, classes: int = 3) -> LinearNet:
    net = make_linear(inputs, classes)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randint(-2, 3, parameter.shape, generator=generator(1, "whole")))
    return net


@pytest.fixture(scope="session")
def linear() -> Callable[..., Network]:
    """`linear(inputs=16, classes=3, dropout=0.0)`: the same weights at every call."""
    return make_linear


@pytest.fixture(scope="session")
def whole_numbers() -> Callable[..., Network]:
    """`whole_numbers(inputs=16, classes=3)`: weights -2 to 2, so that small whole pixels have whole logits."""
    return make_whole_numbers
