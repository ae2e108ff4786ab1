"""Coresets: which images of a class stand for all of them, by their features alone.

Both rules are greedy, so that the first images of a larger coreset are the smaller one; distances are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from raydd.errors import DataError


def herding(features: Tensor, n: int) -> Tensor:
    """The images whose mean stays nearest to the mean of all (Welling, ICML 2009).

    i_k = argmin_i || mean - (f_{i_1} + ... + f_{i_{k-1}} + f_i) / k || for k = 1 ... n, without replacement; of
    equally good images the first one.

    Args:
        features: of all images of a class, float (N, D).
        n: images wanted, 1 <= n <= N.

    Returns:
        int64 (n,), in the order of choice, on the CPU.

    Raises:
        DataError: `n` lies outside 1 ... N.
    """
    values = _checked(features, n)
    mean, total = values.mean(dim=0), torch.zeros(values.shape[1], dtype=torch.float64)
    chosen: list[int] = []
    for k in range(1, n + 1):
        # k times the norm above is the distance of f_i to k * mean - (f_{i_1} + ... + f_{i_{k-1}})
        distances = _distances(values, k * mean - total)
        distances[chosen] = math.inf
        chosen.append(int(distances.argmin()))
        total += values[chosen[-1]]
    return torch.tensor(chosen)


def k_center(features: Tensor, n: int) -> Tensor:
    """Centres that leave no image far from the nearest one, farthest first (Sener and Savarese, ICLR 2018).

    i_1 = argmin_i || f_i - mean ||, then i_k = argmax_i min_{j<k} || f_i - f_{i_j} ||, without replacement; of
    equally good images the first one.

    Args:
        features, n: see `herding`.

    Returns:
        int64 (n,), in the order of choice, on the CPU.

    Raises:
        DataError: `n` lies outside 1 ... N.
    """
    values = _checked(features, n)
    chosen = [int(_distances(values, values.mean(dim=0)).argmin())]
    nearest = torch.full((len(values),), math.inf, dtype=torch.float64)
    while len(chosen) < n:
        nearest = torch.minimum(nearest, _distances(values, values[chosen[-1]]))
        nearest[chosen] = -1.0  # copies of a centre are at distance 0 and may be chosen, a centre may not
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


CORESETS: Mapping[str, Callable[[Tensor, int], Tensor]] = MappingProxyType(
    {"herding": herding, "k_center": k_center}
)


def _checked(features: Tensor, n: int) -> Tensor:
    if not 1 <= n <= len(features):
        raise DataError(f"{n} images are to be chosen of {len(features)}; 1 to {len(features)} are possible")
    return features.to("cpu", torch.float64)


def _distances(values: Tensor, centre: Tensor) -> Tensor:
    # The difference first: |f|^2 - 2 f.c + |c|^2 would lose the digits that tell near images apart.
    distances: Tensor = torch.linalg.vector_norm(values - centre, dim=1)
    return distances
