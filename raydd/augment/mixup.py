"""MixUp: every image of a batch is blended with another, and their targets alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.special import betaincinv
from torch import Tensor


def mixup(
    images: Tensor, targets: Tensor, classes: int, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blend a batch with a permutation of itself (Zhang et al., ICLR 2018, equation 2).

    With one lambda ~ Beta(alpha, alpha) and one random permutation for the whole batch, images and targets become
    lambda x + (1 - lambda) x_partner and lambda y + (1 - lambda) y_partner.

    Args:
        images: (N, C, H, W); not changed.
        targets: int64 (N,), or soft labels (N, classes); not changed.
        classes: number of classes.
        alpha: of the Beta distribution, >= 0; 0 mixes nothing.
        generator: CPU generator; one uniform and one permutation are drawn.

    Returns:
        The images, and their targets: with `alpha` 0 as they came, without a draw; else always soft labels,
        (N, classes) with the dtype of the images.
    """
    if alpha == 0.0:
        return images, targets
    share, partner = draw_mixup(len(images), alpha, generator)
    partner = partner.to(images.device)
    hard = not targets.is_floating_point()
    soft = (F.one_hot(targets, classes) if hard else targets).to(images.dtype)
    return (
        share * images + (1.0 - share) * images.index_select(0, partner),
        share * soft + (1.0 - share) * soft.index_select(0, partner),
    )


def draw_mixup(images: int, alpha: float, generator: torch.Generator) -> tuple[float, Tensor]:
    """What `mixup` draws for a batch of `images` images: lambda, and the partners, int64 (images,) on the CPU."""
    # torch draws from a Beta distribution only without a generator; the inverse of its distribution function needs none
    share = float(betaincinv(alpha, alpha, torch.rand((), generator=generator, dtype=torch.float64).item()))
    return share, torch.randperm(images, generator=generator)
