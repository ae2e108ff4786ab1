"""Networks built from a short specification and filled from a generator, and how they are run."""

from __future__ import annotations

from raydd.nets.builder import build, convolutional, gigaflops, input_side, names, per_image, validate
from raydd.nets.convnet import default_depth
from raydd.nets.ensemble import Ensemble
from raydd.nets.gradients import GradientPasses
from raydd.nets.initialise import initialise
from raydd.nets.network import Network
from raydd.nets.passes import Passes
from raydd.nets.public import public_weights
from raydd.nets.statistics import Statistics, StatisticsPasses

__all__ = [
    "Ensemble",
    "GradientPasses",
    "Network",
    "Passes",
    "Statistics",
    "StatisticsPasses",
    "build",
    "convolutional",
    "default_depth",
    "gigaflops",
    "initialise",
    "input_side",
    "names",
    "per_image",
    "public_weights",
    "validate",
]
