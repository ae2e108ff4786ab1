"""Differentiable augmentation drawn from generators."""

from __future__ import annotations

from raydd.augment.dsa import DSA, Draw

__all__ = ["DSA", "Draw"]
