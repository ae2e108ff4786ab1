"""The recipe of one training: everything that makes the weights besides the images and the seed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """SGD on cross-entropy.

    Attributes:
        epochs: passes over all images.
        batch: images a step, >= 1; the last batch of an epoch may be smaller.
        lr: learning rate, > 0.
        momentum, weight_decay: of SGD.
        decay_epochs: 0-based epochs after which the learning rate is multiplied by `decay` and the
            optimiser rebuilt, which loses its momentum.
        decay: factor of the learning rate.
        augmentation: DSA strategy; empty is none.
    """

    epochs: int
    batch: int = 256
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay_epochs: tuple[int, ...] = ()
    decay: float = 0.1
    augmentation: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields, for asset keys and manifests."""
        return {**dataclasses.asdict(self), "decay_epochs": list(self.decay_epochs)}
