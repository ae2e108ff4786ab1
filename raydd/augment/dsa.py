"""DSA: one differentiable augmentation a call, its parameters shared by a batch or one set a sample."""

from __future__ import annotations

import torch

from raydd.augment.augmentation import Augmentation


class DSA(Augmentation):
    """Zhao and Bilen's augmentation in DC, DSA, DM, IDM and IID: one op a call, all equally likely.

    Args:
        strategy: such as `color_crop_cutout_flip_scale_rotate`; an empty string or `none` is the identity.

    Raises:
        ConfigError: an op is unknown.
    """

    def __init__(self, strategy: str) -> None:
        super().__init__(strategy, strategy)

    def _choose(self, generator: torch.Generator) -> tuple[str, ...]:
        if not self.ops:
            return ()
        return (self.ops[int(torch.randint(len(self.ops), (1,), generator=generator))],)
