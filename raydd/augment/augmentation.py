"""What all augmentations share: draws that know neither batch nor image size, and how a draw is applied."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from raydd.augment.ops import OPS, Op
from raydd.errors import ConfigError, unknown


@dataclass(frozen=True, eq=False)
class Draw:
    """What one call does: its ops and their unit uniforms, whatever the size of the batch and the image.

    Attributes:
        ops: names in the order in which they are applied; empty is the identity.
        uniforms: float32 on the CPU in [0, 1), shape (1, k) for parameters shared by the whole batch or
            (n, k) for one set a sample; the k columns are those of the ops, one after the other.
    """

    ops: tuple[str, ...]
    uniforms: Tensor

    @property
    def op(self) -> str:
        """The ops joined by `_`, as a strategy spells them; `none` without any."""
        return "_".join(self.ops) or "none"


class Augmentation(ABC):
    """Augmentation by a strategy; a subclass says which of the strategy's ops a call applies.

    One draw applied to a real and to a synthetic batch is the siamese augmentation of matching.

    Args:
        strategy: its full name, as in configurations and manifests.
        ops: names of ops joined by `_`; an empty string or `none` is the identity.

    Attributes:
        known: the ops that a strategy may name.

    Raises:
        ConfigError: an op is unknown.
    """

    known: ClassVar[Mapping[str, Op]] = OPS

    def __init__(self, strategy: str, ops: str) -> None:
        self.strategy = strategy
        self.ops = tuple(ops.split("_")) if ops not in ("", "none") else ()
        for op in self.ops:
            if op not in self.known:
                raise ConfigError(f"augmentation: {unknown('op', op, self.known)} in {strategy!r}")

    @abstractmethod
    def _choose(self, generator: torch.Generator) -> tuple[str, ...]:
        """The ops of one call, in the order of their application."""

    def draw(self, generator: torch.Generator, samples: int | None = None) -> Draw:
        """Draw the ops, and one parameter set for all (`samples` None; siamese) or one for each of `samples`."""
        ops = self._choose(generator)
        rows = 1 if samples is None else samples
        return Draw(ops, torch.rand(rows, sum(self.known[op][0] for op in ops), generator=generator))

    def __call__(self, x: Tensor, draw: Draw) -> Tensor:
        """Apply a draw to normalised images (N, C, H, W); differentiable in `x`, on the device of `x`.

        Raises:
            ValueError: the draw is for another number of samples.
        """
        if not draw.ops:
            return x
        if draw.uniforms.shape[0] not in (1, x.shape[0]):
            raise ValueError(f"draw for {draw.uniforms.shape[0]} samples applied to {x.shape[0]}")
        # In float32 a uniform just below 1 times an integer can round up to that integer.
        uniforms = draw.uniforms.double().split([self.known[op][0] for op in draw.ops], dim=1)
        for op, columns in zip(draw.ops, uniforms):
            x = self.known[op][1](x, columns)
        return x
