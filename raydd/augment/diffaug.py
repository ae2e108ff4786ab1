"""DiffAug: IDC's augmentation, which applies several operations in one call."""

from __future__ import annotations

import torch

from raydd.augment.augmentation import Augmentation

PREFIX = "idc"

FIRST = ("flip", "color")
"""Always applied where listed, in this order, before the drawn op."""
DRAWN = ("crop", "scale", "rotate")
"""One of those listed is applied, all equally likely."""
LAST = ("cutout",)
"""Always applied where listed, after the drawn op."""


class DiffAug(Augmentation):
    """Kim et al., ICML 2022 (`misc/augment.py`): flip, color, one of crop, scale and rotate, then cutout.

    The order in which the ops are listed plays no part. `draw(generator)` is the authors' `batch=True`, one
    parameter set for the whole tensor; `draw(generator, n)` their `batch=False`, one for each image. The op
    that is drawn is one for all images either way.

    Args:
        ops: such as `color_crop_cutout`; an empty string or `none` is the identity. The strategy is called
            `idc:` and these.

    Raises:
        ConfigError: an op is unknown.
    """

    def __init__(self, ops: str) -> None:
        super().__init__(f"{PREFIX}:{ops}", ops)
        self._drawn = [op for op in self.ops if op in DRAWN]

    def _choose(self, generator: torch.Generator) -> tuple[str, ...]:
        drawn: tuple[str, ...] = ()
        if self._drawn:
            drawn = (self._drawn[int(torch.randint(len(self._drawn), (1,), generator=generator))],)
        return (*self._listed(FIRST), *drawn, *self._listed(LAST))

    def _listed(self, ops: tuple[str, ...]) -> list[str]:
        return [op for op in ops if op in self.ops]
