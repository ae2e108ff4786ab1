"""Training a network on tensors or on stored images, and its accuracies."""

from __future__ import annotations

from raydd.training.loop import fit, fit_all, fit_together
from raydd.training.online import OnlineNet
from raydd.training.recipe import Recipe
from raydd.training.scoring import accuracies
from raydd.training.sources import DataSource, Source, TensorSource

__all__ = [
    "DataSource",
    "OnlineNet",
    "Recipe",
    "Source",
    "TensorSource",
    "accuracies",
    "fit",
    "fit_all",
    "fit_together",
]
