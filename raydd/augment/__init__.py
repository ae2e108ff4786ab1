"""Differentiable augmentations, CutMix and MixUp, drawn from generators."""

from __future__ import annotations

from raydd.augment.augmentation import Augmentation, Draw
from raydd.augment.cutmix import cutmix
from raydd.augment.diffaug import DiffAug
from raydd.augment.dsa import DSA
from raydd.augment.mixup import draw_mixup, mixup
from raydd.augment.standard import Standard
from raydd.augment.strategies import build

__all__ = ["DSA", "Augmentation", "DiffAug", "Draw", "Standard", "build", "cutmix", "draw_mixup", "mixup"]
