"""The recipe of one training: everything that makes the weights besides the images and the seed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from raydd.errors import ConfigError

LATER = ("cutmix", "decay_resets_momentum")
"""Fields that the first recipes did not have: JSON names them only where they differ from their defaults, so that
the keys of assets that were trained before stay what they were."""


@dataclass(frozen=True)
class Recipe:
    """SGD on cross-entropy.

    Attributes:
        epochs: passes over all images.
        batch: images a step, >= 1; the last batch of an epoch may be smaller.
        lr: learning rate, > 0.
        momentum, weight_decay: of SGD.
        decay_epochs: 0-based epochs after which the learning rate is multiplied by `decay`; twice after one that is
            named twice.
        decay: factor of the learning rate.
        augmentation: strategy, see `raydd.augment.build`; empty is none.
        cutmix: probability that a batch is mixed, in [0, 1]; see `raydd.augment.cutmix`.
        decay_resets_momentum: whether a decay rebuilds the optimiser, which loses its momentum, as DC does it, or
            changes its rate alone, as torch's MultiStepLR and so IDC do.

    Raises:
        ConfigError: `cutmix` is no probability.
    """

    epochs: int
    batch: int = 256
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay_epochs: tuple[int, ...] = ()
    decay: float = 0.1
    augmentation: str = ""
    cutmix: float = 0.0
    decay_resets_momentum: bool = True

    def __post_init__(self) -> None:
        if not 0.0 <= self.cutmix <= 1.0:
            raise ConfigError(f"cutmix: must be a probability in [0, 1], got {self.cutmix}")

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields, for asset keys and manifests; `Recipe(**fields)` is the recipe again."""
        chosen = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in LATER or getattr(self, field.name) != field.default
        }
        return {**chosen, "decay_epochs": list(self.decay_epochs)}
