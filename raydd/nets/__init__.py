"""Networks built from a short specification and filled from a generator: ConvNet-D and ResNet-18."""

from __future__ import annotations

from raydd.nets.builder import build, names, validate
from raydd.nets.convnet import default_depth
from raydd.nets.initialise import initialise
from raydd.nets.network import Network

__all__ = ["Network", "build", "default_depth", "initialise", "names", "validate"]
