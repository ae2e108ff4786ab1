"""Scores of candidate windows: how much a proxy network makes of each; the lowest is underutilized (UDD)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from raydd.formation import crop_regions
from raydd.nets import Network, Passes
from raydd.normalisation import Normalisation

SCORE_PIXELS = 2048 * 32 * 32
"""Pixels of the views that are made at once, to bound memory (100 MB in three channels, with a copy)."""


def images_at_once(size: int, views: int) -> int:
    """How many images of `views` views each, of `size` px, are cropped and run at once."""
    return max(1, SCORE_PIXELS // (views * size**2))


def placed(windows: Tensor, sources: Tensor) -> Tensor:
    """All windows of all sources in stored pixels: int64 (S, M, 3) of (S, 3) sources and (M, 3) windows."""
    corner = torch.cat([sources[:, :2], torch.zeros_like(sources[:, :1])], dim=1)
    return windows + corner[:, None]


@torch.no_grad()
def mean_in_windows(maps: Tensor, windows: Tensor) -> Tensor:
    """Mean of every map over every window (scheme `feature`).

    Args:
        maps: shape (N, S, S).
        windows: int64 (M, 3), rows (y0, x0, side) within the maps.

    Returns:
        Shape (N, M), the maps' dtype, computed in float64: all windows of a constant map tie.
    """
    double = maps.double()
    means = [double[:, y : y + side, x : x + side].mean(dim=(1, 2)) for y, x, side in windows.tolist()]
    return torch.stack(means, dim=1).to(maps.dtype)


@torch.no_grad()
def crop_scores(
    net: Network,
    pixels: Tensor,
    labels: Tensor,
    boxes: Tensor,
    normalisation: Normalisation,
    passes: Passes,
) -> Tensor:
    """Logit of the true class for every box, upsampled bilinearly to the whole image (scheme `crop`).

    Args:
        net: the proxy network.
        pixels: stored, in [0, 1], (N, C, H, H).
        labels: int64 (N,).
        boxes: int64 (B, 3) on the CPU, rows (y0, x0, side) in stored pixels, the same for every image.
        normalisation: of the network's inputs.
        passes: how networks are run.

    Returns:
        float32, shape (N, B).
    """
    scores = []
    at_once = images_at_once(pixels.shape[-1], len(boxes))
    for part, of in zip(pixels.split(at_once), labels.split(at_once)):
        views = crop_regions(part, boxes.expand(len(part), -1, -1)).flatten(0, 1)
        logits = passes.logits(net, normalisation.apply(views)).unflatten(0, (len(part), -1))
        scores.append(logits.gather(2, of[:, None, None].expand(-1, len(boxes), 1)).squeeze(2))
    return torch.cat(scores)


@torch.no_grad()
def jitter_scores(
    net: Network,
    pixels: Tensor,
    sources: Tensor,
    windows: Tensor,
    normalisation: Normalisation,
    passes: Passes,
    noise: Tensor,
) -> Tensor:
    """Mean over draws of || f_p(x + noise inside R) - f_p(x) ||_2, f_p being the logits (policy `jitter`).

    x is a source as the network sees it: cropped, upsampled, normalised. The noise is added to the stored pixels
    before that. A draw is one field over the stored image, which all images and all windows of a call share:
    windows are compared under the same noise, and an image's scores do not depend on the others. Where windows of
    several sizes are pooled, a score is divided by the window's side, to which the norm of its noise is proportional:
    else the smallest would always change least.

    Args:
        net: the proxy network.
        pixels: stored, in [0, 1], (N, C, H, H).
        sources: int64 (S, 3) on the CPU, of one side, in stored pixels.
        windows: int64 (M, 3), within a source.
        normalisation: of the network's inputs.
        passes: how networks are run, in float32: differences of logits are small.
        noise: the draws, (m, C, H, H), in units of [0, 1] pixels.

    Returns:
        float32, shape (N, S, M).
    """
    size, side = pixels.shape[-1], int(sources[0, 2])
    corners = sources[:, :2].tolist()
    fields = torch.stack([noise[:, :, y : y + side, x : x + side] for y, x in corners])  # (S, m, C, s, s)
    inside = noise.new_zeros(len(windows), side, side)
    for mask, (y, x, window) in zip(inside, windows.tolist()):
        mask[y : y + window, x : x + window] = 1.0
    masked = fields[:, :, None] * inside[:, None]  # (S, m, M, C, s, s)
    # Upsampling is linear: the view of pixels + noise is the view of the pixels + that of the noise.
    change = F.interpolate(masked.flatten(0, 2), size=(size, size), mode="bilinear", align_corners=False)
    std = torch.tensor(normalisation.std, dtype=change.dtype, device=change.device).view(-1, 1, 1)
    change = (change / std).unflatten(0, (len(sources), -1))
    change = torch.cat([torch.zeros_like(change[:, :1]), change], dim=1)  # first the source as it is
    sides = windows[:, 2].to(pixels.device)
    scale = sides.float() if len(sides.unique()) > 1 else torch.ones(1, device=pixels.device)
    scores = []
    for part in pixels.split(images_at_once(size, change.shape[0] * change.shape[1])):
        views = crop_regions(part, sources.expand(len(part), -1, -1))
        views = normalisation.apply(views.flatten(0, 1)).unflatten(0, (len(part), -1))
        logits = passes.logits(net, (views[:, :, None] + change).flatten(0, 2))
        logits = logits.unflatten(0, (len(part), *change.shape[:2]))
        changes = (logits[:, :, 1:] - logits[:, :, :1]).norm(dim=-1)
        scores.append(changes.unflatten(2, (len(noise), len(windows))).mean(dim=2) / scale)
    return torch.cat(scores)
