"""Distances between real and synthetic gradients, as IDC's code has them (condense.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from raydd.errors import ConfigError, unknown


def _mse(real: Tensor, syn: Tensor) -> Tensor:
    return (real - syn).square().sum()


def _l1(real: Tensor, syn: Tensor) -> Tensor:
    return (real - syn).abs().sum()


def _l1_mean(real: Tensor, syn: Tensor) -> Tensor:
    return (real - syn).abs().flatten(1).mean(dim=1).sum()


def _cos(real: Tensor, syn: Tensor) -> Tensor:
    real, syn = real.flatten(1), syn.flatten(1)
    product = (real * syn).sum(dim=1)
    # The derivative of this norm is 0 at 0; that of a written-out root would be NaN.
    norms = torch.linalg.vector_norm(real, dim=1) * torch.linalg.vector_norm(syn, dim=1)
    return (1.0 - product / (norms + 1e-6)).sum()


METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": _mse,
    "l1": _l1,
    "l1_mean": _l1_mean,
    "cos": _cos,
}


def gradient_distance(real: Tensor | Sequence[Tensor], syn: Tensor | Sequence[Tensor], metric: str) -> Tensor:
    """D(g_T, g_S), summed over the layers (IDC, `condense.py`, `matchloss`).

    - `mse`: sum of (x - y)^2, although its name says mean
    - `l1`: sum of |x - y|
    - `l1_mean`: sum over the output rows o of mean |x_o - y_o|
    - `cos`: sum over the output rows o of 1 - <x_o, y_o> / (|x_o| |y_o| + 1e-6)

    Args:
        real: gradients of the real images, (out, ...), with at least two dimensions, or one tensor for each layer.
        syn: those of the synthetic images, shaped as `real`.
        metric: one of `METRICS`.

    Returns:
        Scalar, differentiable by `syn`; the gradient is finite where a row is zero.

    Raises:
        ConfigError: no such metric.
    """
    if metric not in METRICS:
        raise ConfigError(f"metric: {unknown('metric', metric, METRICS)}")
    pairs = (
        [(real, syn)]
        if isinstance(real, Tensor) and isinstance(syn, Tensor)
        else list(zip(real, syn, strict=True))
    )
    return torch.stack([METRICS[metric](x, y) for x, y in pairs]).sum()
