"""Distillation in plain PyTorch: losses, and methods that step, stop and continue; no Ray, MLflow or Optuna."""

from __future__ import annotations

from raydd.distillation.dm import DM
from raydd.distillation.iid import IID, deviation_percentile
from raydd.distillation.losses import (
    CC_FORMS,
    class_centralization,
    continued_exp,
    covariance_matching,
    local_covariance,
    mean_matching,
    squared_deviations,
    squared_distance,
)
from raydd.distillation.real_side import RealSide, Targets

__all__ = [
    "CC_FORMS",
    "DM",
    "IID",
    "RealSide",
    "Targets",
    "class_centralization",
    "continued_exp",
    "covariance_matching",
    "deviation_percentile",
    "local_covariance",
    "mean_matching",
    "squared_deviations",
    "squared_distance",
]
