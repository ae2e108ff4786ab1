"""Evaluation protocols: how the papers train a network on a distilled set before they test it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from raydd.errors import ConfigError, unknown
from raydd.training import Recipe


@dataclass(frozen=True)
class Protocol:
    """Training on the distilled set, then the accuracy after the last epoch.

    Attributes:
        epochs: E of the paper; E + 1 epochs are run (see `recipe`).
        augments: whether the set's DSA strategy is used.
        reference: one line, for people.
    """

    epochs: int
    augments: bool
    reference: str

    def recipe(self, augmentation: str, epochs: int | None = None) -> Recipe:
        """Recipe with E = `epochs`, or the protocol's own E.

        SGD lr 0.01, momentum 0.9, weight decay 5e-4, batch 256; epochs 0 to E, and after epoch E//2 + 1
        the learning rate drops to a tenth (DC's `evaluate_synset`, which DSA, DM, IDM and IID share).

        Args:
            augmentation: the set's DSA strategy, used if the protocol augments.
            epochs: E, >= 1.

        Raises:
            ConfigError: `epochs` is below 1.
        """
        last = self.epochs if epochs is None else epochs
        if last < 1:
            raise ConfigError(f"evaluation.epochs: must be at least 1, got {last}")
        return Recipe(
            epochs=last + 1,
            decay_epochs=(last // 2 + 1,),
            augmentation=augmentation if self.augments else "",
        )


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "dc": Protocol(300, False, "Zhao et al., ICLR 2021: 300 epochs without augmentation"),
        "dsa": Protocol(1000, True, "Zhao and Bilen, ICML 2021: 1000 epochs with DSA; also DM, IDM, IID"),
    }
)


def names() -> list[str]:
    """Names of all protocols, sorted."""
    return sorted(PROTOCOLS)


def get(name: str) -> Protocol:
    """The protocol called `name`.

    Raises:
        ConfigError: no such protocol.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"evaluation.protocol: {unknown('protocol', name, names())}")
    return PROTOCOLS[name]
