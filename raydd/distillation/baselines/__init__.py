"""Baselines that distil nothing, which every method has to beat: real images at the same IPC, and all of them.

`random` draws real images; `herding` and `k_center` choose them in the features of a network that was trained on
all training images; `full` is the test accuracy of that network itself.
"""

from __future__ import annotations

from raydd.distillation.baselines.coresets import CORESETS, herding, k_center
from raydd.distillation.baselines.features import feature_network, needs_network, select
from raydd.distillation.baselines.sets import random_real, selected_real

__all__ = [
    "CORESETS",
    "feature_network",
    "herding",
    "k_center",
    "needs_network",
    "random_real",
    "select",
    "selected_real",
]
