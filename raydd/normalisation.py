"""Per-channel normalisation between 8-bit pixels, the unit range and what a network is fed."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@functools.cache
def _constants(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation, float32 (1, C, 1, 1); copied to a device once, as every copy waits for a GPU."""
    import torch

    with torch.inference_mode(False):  # whoever asks first, gradients may flow past them later
        both = torch.tensor([mean, std], dtype=torch.float32, device=device).view(2, 1, -1, 1, 1)
        return both[0], both[1]


@dataclass(frozen=True)
class Normalisation:
    """x -> (x - mean) / std per channel, for pixels in [0, 1].

    Attributes:
        mean: one value per channel, in [0, 1].
        std: one value per channel, > 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalise uint8 pixels in [0, 255] or float pixels in [0, 1], shape (N, C, H, W), to float32."""
        import torch

        unit = pixels.to(torch.float32) / 255.0 if pixels.dtype == torch.uint8 else pixels
        mean, std = _constants(self.mean, self.std, unit.device)
        return (unit - mean) / std

    def invert(self, images: torch.Tensor) -> torch.Tensor:
        """Undo `apply`: normalised float images (N, C, H, W) to float pixels in [0, 1], clamped."""
        mean, std = _constants(self.mean, self.std, images.device)
        return (images * std + mean).clamp(0.0, 1.0)
