"""Training a network on tensors or on stored images, and its accuracy."""

from __future__ import annotations

from raydd.training.loop import fit
from raydd.training.recipe import Recipe
from raydd.training.scoring import accuracy
from raydd.training.sources import DataSource, Source, TensorSource

__all__ = ["DataSource", "Recipe", "Source", "TensorSource", "accuracy", "fit"]
