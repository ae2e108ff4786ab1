"""Networks built from a short specification and filled from a generator: ConvNet-D and ResNet-18."""

from __future__ import annotations

from raydd.nets.builder import build, gigaflops, names, validate
from raydd.nets.convnet import default_depth
from raydd.nets.ensemble import Ensemble
from raydd.nets.gradients import GradientPasses
from raydd.nets.initialise import initialise
from raydd.nets.network import Network
from raydd.nets.passes import Passes

__all__ = [
    "Ensemble",
    "GradientPasses",
    "Network",
    "Passes",
    "build",
    "default_depth",
    "gigaflops",
    "initialise",
    "names",
    "validate",
]
