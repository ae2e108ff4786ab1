"""Distillation in plain PyTorch: losses, and methods that step, stop and continue; no Ray, MLflow or Optuna."""

from __future__ import annotations

from raydd.distillation.dm import DM
from raydd.distillation.dwa import DWA, ascend
from raydd.distillation.idc import IDC
from raydd.distillation.idm import IDM
from raydd.distillation.iid import IID, IIDOnIDM
from raydd.distillation.iid_terms import IIDTerms, deviation_percentile
from raydd.distillation.losses import (
    CC_FORMS,
    batchnorm_statistics,
    category_contrastive,
    category_contrastive_rows,
    class_centralization,
    continued_exp,
    covariance_matching,
    gradient_distance,
    layer_norms,
    local_covariance,
    mean_matching,
    squared_deviations,
    squared_distance,
)
from raydd.distillation.matching import Matching
from raydd.distillation.pixels import UPDATES, PixelSGD
from raydd.distillation.queue_side import QueueRealSide, QueueSettings
from raydd.distillation.real_side import FreshRealSide, RealSide, Targets
from raydd.distillation.recovery import Recovery, adam_step
from raydd.distillation.relabel import Relabelling, labelled
from raydd.distillation.sre2l import SRe2L
from raydd.distillation.trained_side import NetTraining, TrainedRealSide
from raydd.distillation.udd import UDD

__all__ = [
    "CC_FORMS",
    "DM",
    "DWA",
    "IDC",
    "IDM",
    "IID",
    "UDD",
    "UPDATES",
    "FreshRealSide",
    "IIDOnIDM",
    "IIDTerms",
    "Matching",
    "NetTraining",
    "PixelSGD",
    "QueueRealSide",
    "QueueSettings",
    "RealSide",
    "Recovery",
    "Relabelling",
    "SRe2L",
    "Targets",
    "TrainedRealSide",
    "adam_step",
    "ascend",
    "batchnorm_statistics",
    "category_contrastive",
    "category_contrastive_rows",
    "class_centralization",
    "continued_exp",
    "covariance_matching",
    "deviation_percentile",
    "gradient_distance",
    "labelled",
    "layer_norms",
    "local_covariance",
    "mean_matching",
    "squared_deviations",
    "squared_distance",
]
