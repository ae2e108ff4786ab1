"""Per-channel normalisation between 8-bit pixels, the unit range and what a network is fed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Normalisation:
    """x -> (x - mean) / std per channel, for pixels in [0, 1].

    Attributes:
        mean: one value per channel, in [0, 1].
        std: one value per channel, > 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def _constants(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        shape = (1, -1, 1, 1)
        mean = torch.tensor(self.mean, dtype=torch.float32, device=like.device).view(shape)
        std = torch.tensor(self.std, dtype=torch.float32, device=like.device).view(shape)
        return mean, std

    def apply(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalise uint8 pixels in [0, 255] or float pixels in [0, 1], shape (N, C, H, W), to float32."""
        import torch

        unit = pixels.to(torch.float32) / 255.0 if pixels.dtype == torch.uint8 else pixels
        mean, std = self._constants(unit)
        return (unit - mean) / std

    def invert(self, images: torch.Tensor) -> torch.Tensor:
        """Undo `apply`: normalised float images (N, C, H, W) to float pixels in [0, 1], clamped."""
        mean, std = self._constants(images)
        return (images * std + mean).clamp(0.0, 1.0)
