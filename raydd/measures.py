"""Measures of distilled images: how much of them is used and where regions are chosen (UDD), and what of an accuracy is
the images' merit rather than their labels' (DD-Ranking).
"""

from __future__ import annotations

import torch
from torch import Tensor

from raydd.errors import ConfigError, unknown

MUE_SCALES = ("max", "min_max")


def mue(activations: Tensor, scale: str = "min_max") -> float:
    """Mean utilisation of the images: the mean over images and positions of their scaled activation A.

    UDD (arXiv 2408.16268) names the measure without its equation; both forms are our reading (docs/methods.md).
    `min_max` is (A - min A) / (max A - min A) and takes maps of any scale and sign. `max` is A / max A, for maps >= 0:
    there a constant map > 0 counts 1.

    Args:
        activations: one map an image, shape (N, H, W), finite, N >= 1.
        scale: `min_max`, where a constant map counts 0, or `max`, where a map that is 0 counts 0.

    Returns:
        In [0, 1]; the larger, the more of the images is used.

    Raises:
        ConfigError: `scale` is neither, or it is `max` and an activation is negative.
        ValueError: not three dimensions, or nothing in them.
    """
    if scale not in MUE_SCALES:
        raise ConfigError(f"scale: {unknown('scale', scale, MUE_SCALES)}")
    if activations.dim() != 3 or activations.numel() == 0:
        raise ValueError(f"mue needs maps of shape (N, H, W), none of them 0, got {tuple(activations.shape)}")
    maps = activations.detach().double().flatten(1)
    if scale == "max" and bool((maps < 0).any()):
        raise ConfigError(f"scale: 'max' needs activations >= 0, got {maps.min():.3g}; 'min_max' takes any")
    if scale == "min_max":
        maps = maps - maps.min(dim=1, keepdim=True).values
    top = maps.max(dim=1, keepdim=True).values
    return float(torch.where(top == 0.0, 0.0, maps / top).mean())


def region_switch_rate(before: Tensor, after: Tensor) -> float:
    """Share of the boxes of `after` that the same image did not have before; the order does not count.

    Args:
        before, after: int64 (N, R, 3), rows (y0, x0, side), N and R >= 1.

    Returns:
        In [0, 1].

    Raises:
        ValueError: the shapes differ or are not (N, R, 3).
    """
    if before.shape != after.shape or after.dim() != 3 or after.shape[-1] != 3 or after.numel() == 0:
        raise ValueError(
            f"boxes must be two tensors of one shape (N, R, 3), got {tuple(before.shape)} and {tuple(after.shape)}"
        )
    kept = (after[:, :, None] == before[:, None]).all(dim=-1).any(dim=-1)
    return 1.0 - float(kept.double().mean())


def border_share(boxes: Tensor, size: int) -> float:
    """Share of the area of all boxes that lies within `size`/8 of the image's border.

    The band may end within a pixel (3.5 px at 28 px). An area under several boxes counts once for each. Boxes
    spread evenly over the image have 7/16.

    Args:
        boxes: int64 (..., 3), rows (y0, x0, side) in pixels, within the image, at least one.
        size: side of the image in pixels.

    Returns:
        In [0, 1].

    Raises:
        ValueError: there are no boxes.
    """
    if boxes.shape[-1:] != (3,) or boxes.numel() == 0:
        raise ValueError(f"boxes must have shape (..., 3) and not be empty, got {tuple(boxes.shape)}")
    start, side = boxes[..., :2].double(), boxes[..., 2:].double()
    band = size / 8
    inner = ((start + side).clamp(max=size - band) - start.clamp(min=band)).clamp(min=0.0)
    return 1.0 - float(inner.prod(dim=-1).sum() / side.square().sum())


def hard_label_recovery(full: float, hard: float) -> float:
    """HLR = Acc_full-hard - Acc_syn-hard: what the images lack when soft labels do not help them; lower is better.

    Source: Li et al., DD-Ranking (arXiv 2505.13300), hard label recovery.

    Args:
        full: accuracy of networks trained on all real training images with hard labels, in [0, 1].
        hard: accuracy of the same architecture trained on the distilled images with hard labels, in [0, 1].

    Returns:
        In [-1, 1].

    Raises:
        ValueError: an accuracy is no fraction.
    """
    return _fraction("full", full) - _fraction("hard", hard)


def improvement_over_random(own: float, random: float) -> float:
    """IOR = Acc_syn-any - Acc_rdm-any: what distilling adds to labels and recipe; higher is better.

    Source: Li et al., DD-Ranking (arXiv 2505.13300), improvement over random.

    Args:
        own: accuracy of networks trained on the distilled images with the labels that they come with, in [0, 1].
        random: accuracy of as many randomly chosen real images under the same labels and recipe, in [0, 1].

    Returns:
        In [-1, 1].

    Raises:
        ValueError: an accuracy is no fraction.
    """
    return _fraction("own", own) - _fraction("random", random)


def _fraction(name: str, value: float) -> float:
    if not 0.0 <= value <= 1.0:  # false for NaN too
        raise ValueError(f"{name} must be an accuracy in [0, 1], got {value}")
    return value


def mean_pairwise_distance(features: Tensor) -> float:
    """Mean Euclidean distance of all pairs i < j of features: (2 / (n (n - 1))) sum_{i<j} ||f_i - f_j||.

    Args:
        features: shape (n, D), n >= 2.

    Returns:
        >= 0, in the features' unit.

    Raises:
        ValueError: fewer than two features, or not two dimensions.
    """
    if features.dim() != 2 or len(features) < 2:
        raise ValueError(
            f"a distance of pairs needs features of shape (n, D), n >= 2, got {tuple(features.shape)}"
        )
    return float(torch.pdist(features.detach().double()).mean())


def feature_distance(features: Tensor, real: Tensor) -> float:
    """How far the images of a class lie apart, in units of the real ones: mean pairwise distance over theirs.

    DWA (arXiv 2409.17612) shows a normalised feature distance as its measure of diversity; what it is normalised by is
    not in its code, and taking the real images' own distance is our reading. 1 is as diverse as real images.

    Args:
        features: of the synthetic images of a class under a fixed network, shape (n, D), n >= 2.
        real: of real images of the class under the same network, shape (m, D), m >= 2.

    Returns:
        >= 0.

    Raises:
        ValueError: see `mean_pairwise_distance`; or the real images have one and the same feature.
    """
    scale = mean_pairwise_distance(real)
    if scale == 0.0:
        raise ValueError(
            f"{len(real)} real images have one and the same feature: there is no distance to compare with"
        )
    return mean_pairwise_distance(features) / scale


def class_separation(features: Tensor, labels: Tensor) -> float:
    """How far classes lie apart for how wide they are: mean distance of class means over mean distance to the own one.

    J = mean_{c<c'} ||m_c - m_c'|| / mean_i ||f_i - m_{y_i}||, m_c the mean feature of class c. UDD (arXiv 2408.16268,
    Fig. 5) shows the distribution of classes without a number; this one is ours.

    Args:
        features: shape (n, D).
        labels: int64 (n,); at least two classes, one of them with different features.

    Returns:
        > 0; larger is better separated.

    Raises:
        ValueError: fewer than two classes, or no spread within any.
    """
    values = features.detach().double()
    classes = torch.unique(labels)
    if len(classes) < 2:
        raise ValueError(f"a separation needs two classes, got {len(classes)}")
    means = torch.stack([values[labels == class_].mean(dim=0) for class_ in classes])
    own = means[torch.searchsorted(classes, labels)]
    within = float(torch.linalg.vector_norm(values - own, dim=1).mean())
    if within == 0.0:
        raise ValueError("no class has two different features: there is no width to compare with")
    return float(torch.pdist(means).mean()) / within
