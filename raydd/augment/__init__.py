"""Differentiable augmentations and CutMix, drawn from generators."""

from __future__ import annotations

from raydd.augment.augmentation import Augmentation, Draw
from raydd.augment.cutmix import cutmix
from raydd.augment.diffaug import DiffAug
from raydd.augment.dsa import DSA
from raydd.augment.strategies import build

__all__ = ["DSA", "Augmentation", "DiffAug", "Draw", "build", "cutmix"]
