"""Training a network on tensors or on stored images, with their labels or a teacher's, and its accuracies."""

from __future__ import annotations

from raydd.training.labels import Labels, ReplayedLabels, TeacherLabels, replay_logits
from raydd.training.loop import fit, fit_all, fit_together
from raydd.training.online import OnlineNet
from raydd.training.recipe import Recipe
from raydd.training.scoring import accuracies
from raydd.training.sources import DataSource, Source, TensorSource

__all__ = [
    "DataSource",
    "Labels",
    "OnlineNet",
    "Recipe",
    "ReplayedLabels",
    "Source",
    "TeacherLabels",
    "TensorSource",
    "accuracies",
    "fit",
    "fit_all",
    "fit_together",
    "replay_logits",
]
