"""The recipe of one training: everything that makes the weights besides the images and the seed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raydd.errors import ConfigError, unknown
from raydd.training.typed import WORDS, is_of

OPTIMISERS = ("sgd", "adamw")
SCHEDULES = ("steps", "cosine")

TEMPERATURES = (0.01, 10_000.0)
"""Smallest and largest temperature of soft labels: far beyond them float32 labels become NaN or all alike."""

WARMUP_START = 0.01
"""Share of the learning rate that the first epoch of a warm-up has."""

LATER = (
    "cutmix",
    "decay_resets_momentum",
    "optimiser",
    "schedule",
    "warmup",
    "decay_matrices_only",
    "mixup",
    "temperature",
    "temperature_squared",
)
"""Fields that the first recipes did not have: JSON names them only where they differ from their defaults, so that
the keys of assets that were trained before stay what they were."""


@dataclass(frozen=True)
class Recipe:
    """SGD or AdamW on cross-entropy.

    Attributes:
        epochs: passes over all images.
        batch: images a step, >= 1; the last batch of an epoch may be smaller.
        lr: learning rate, > 0.
        momentum: of SGD; AdamW has betas (0.9, 0.999).
        weight_decay: of either; AdamW's is decoupled from the gradient.
        decay_epochs: 0-based epochs after which the learning rate is multiplied by `decay`; twice after one that is
            named twice. Of the schedule `steps` only.
        decay: factor of the learning rate.
        augmentation: strategy, see `raydd.augment.build`; empty is none.
        cutmix: probability that a batch is mixed, in [0, 1]; see `raydd.augment.cutmix`.
        decay_resets_momentum: whether a decay rebuilds the optimiser, which loses its momentum, as DC does it, or
            changes its rate alone, as torch's MultiStepLR and so IDC do.
        optimiser: `sgd` or `adamw`.
        schedule: `steps`, which `decay_epochs` are, or `cosine`; see `rate`.
        warmup: first epochs whose rate rises, 0 to `epochs`; see `rate`.
        decay_matrices_only: whether the weight decay leaves out parameters of one dimension: biases and the scales
            of norms.
        mixup: alpha of MixUp, >= 0; every batch is mixed, and none with 0. See `raydd.augment.mixup`.
        temperature: T in `TEMPERATURES`, by which logits are divided before the cross-entropy with soft targets; hard
            targets have none.
        temperature_squared: whether that loss is multiplied by T^2, which keeps its gradient's size.

    Raises:
        ConfigError: a value is not allowed, or CutMix and MixUp are both on.
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
    optimiser: str = "sgd"
    schedule: str = "steps"
    warmup: int = 0
    decay_matrices_only: bool = False
    mixup: float = 0.0
    temperature: float = 1.0
    temperature_squared: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.cutmix <= 1.0:
            raise ConfigError(f"cutmix: must be a probability in [0, 1], got {self.cutmix}")
        if not 0.0 <= self.mixup < math.inf:
            raise ConfigError(f"mixup: must be at least 0 and finite, got {self.mixup}")
        if self.cutmix and self.mixup:
            raise ConfigError(
                f"mixup: CutMix and MixUp exclude each other, got mixup {self.mixup} and cutmix {self.cutmix}"
            )
        if self.optimiser not in OPTIMISERS:
            raise ConfigError(f"optimiser: {unknown('optimiser', self.optimiser, OPTIMISERS)}")
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"schedule: {unknown('schedule', self.schedule, SCHEDULES)}")
        if self.schedule != "steps" and self.decay_epochs:
            raise ConfigError(
                f"decay_epochs: belong to the schedule 'steps', got {list(self.decay_epochs)} "
                f"with {self.schedule!r}"
            )
        if not 0 <= self.warmup <= self.epochs:
            raise ConfigError(f"warmup: must be 0 to all {self.epochs} epochs, got {self.warmup}")
        check_temperature(self.temperature)

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, 0-based.

        In the w epochs of a warm-up it is lr (0.01 + 0.99 e / w). After it a cosine has
        lr (1 + cos(pi (e - w) / (E - w))) / 2, which begins with lr and would be 0 in epoch E, the first that is
        not run; steps have lr times `decay` for every entry of `decay_epochs` before e.
        """
        if epoch < self.warmup:
            return self.lr * (WARMUP_START + (1.0 - WARMUP_START) * epoch / self.warmup)
        if self.schedule == "cosine":
            done = (epoch - self.warmup) / (self.epochs - self.warmup)
            return self.lr * (1.0 + math.cos(math.pi * done)) / 2.0
        rate = self.lr
        for _ in range(sum(past < epoch for past in self.decay_epochs)):
            rate *= self.decay
        return rate

    def to_json(self) -> dict[str, Any]:
        """JSON-able fields, for asset keys and manifests; `Recipe.from_json(fields)` is the recipe again."""
        chosen = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in LATER or getattr(self, field.name) != field.default
        }
        return {**chosen, "decay_epochs": list(self.decay_epochs)}

    @classmethod
    def from_json(cls, fields: Any) -> Recipe:
        """The recipe whose `to_json` was written to a file, which may since have become anything.

        Raises:
            ConfigError: `fields` are none of a recipe; the sentence begins with the name of the field.
        """
        if not isinstance(fields, Mapping):
            raise ConfigError(f"recipe: must have names and values, got {fields!r}")
        known = {field.name: field for field in dataclasses.fields(cls)}
        for name, value in fields.items():
            if name not in known:
                raise ConfigError(f"recipe: {unknown('field', str(name), known)}")
            kind = int if name == "epochs" else type(known[name].default)
            if not is_of(value, kind):
                raise ConfigError(f"{name}: must be {WORDS[kind]}, got {value!r}")
        if "epochs" not in fields:
            raise ConfigError("epochs: is missing, and a recipe has it")
        return cls(**{**fields, "decay_epochs": tuple(fields.get("decay_epochs", ()))})


def check_temperature(temperature: float, field: str = "temperature") -> float:
    """The temperature as it is.

    Args:
        temperature: T of soft labels.
        field: what it is called where it was given.

    Raises:
        ConfigError: it is not in `TEMPERATURES`.
    """
    low, high = TEMPERATURES
    if not low <= temperature <= high:  # NaN is not, either
        raise ConfigError(f"{field}: must be in [{low:g}, {high:g}], got {temperature}")
    return temperature
