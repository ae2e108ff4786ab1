"""The matching losses, each written as its equation; sums over features and samples as the authors' code has them.

Leading dimensions are classes: a loss over a stack of classes is the sum of the losses of the classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from raydd.distillation.distances import gradient_distance
from raydd.errors import ConfigError, unknown

__all__ = [
    "CC_FORMS",
    "batchnorm_statistics",
    "category_contrastive",
    "category_contrastive_rows",
    "class_centralization",
    "continued_exp",
    "covariance_matching",
    "gradient_distance",
    "layer_norms",
    "local_covariance",
    "mean_matching",
    "squared_deviations",
    "squared_distance",
]

CC_FORMS = ("hinge_exp", "sum")
EXPONENT_LIMIT = 10.0  # fp32 overflows at exp(88), and its square much earlier


def squared_distance(real: torch.Tensor, syn: torch.Tensor) -> torch.Tensor:
    """||real - syn||^2: the sum of squared differences over all entries; equal shapes, scalar result."""
    return (real - syn).square().sum()


def mean_matching(real_means: torch.Tensor, syn_means: torch.Tensor) -> torch.Tensor:
    """L_DM = sum_c || mean_i phi(t_i) - mean_j phi(s_j) ||_2^2 (DM, main_DM.py).

    Args:
        real_means, syn_means: class means of the embeddings, shape (C, D).

    Returns:
        Scalar, summed over features and classes.
    """
    return squared_distance(real_means, syn_means)


def local_covariance(x: torch.Tensor) -> torch.Tensor:
    """Sigma = mean_i X'_i X'_i^T with X'_i = X_i - mean_i X_i, centred at each position (IID, main_DM_IID.py).

    Not divided by the number of positions, nor by N - 1.

    Args:
        x: local features of one class, shape (N, C, HW), or of several, (..., N, C, HW).

    Returns:
        Shape (C, C), or (..., C, C).
    """
    centred = x - x.mean(dim=-3, keepdim=True)
    rows = centred.movedim(-3, -2).flatten(-2)  # (..., C, N * HW): one matrix product a class
    return rows @ rows.transpose(-1, -2) / x.shape[-3]


def covariance_matching(real: torch.Tensor, syn: torch.Tensor) -> torch.Tensor:
    """L_CM = || Sigma(T) - Sigma(S) ||_F^2, the real side being constant (IID, main_DM_IID.py).

    Args:
        real: local features of real images of one class, shape (N, C, HW).
        syn: local features of its synthetic images, shape (M, C, HW).

    Returns:
        Scalar, the sum of squared entries. It is of 4th order in the scale of the features.
    """
    return squared_distance(local_covariance(real.detach()), local_covariance(syn))


def continued_exp(u: torch.Tensor) -> torch.Tensor:
    """exp(u), continued along its tangent beyond u = 10, so that far samples keep a finite pull."""
    tangent = math.exp(EXPONENT_LIMIT) * (1.0 + (u - EXPONENT_LIMIT))
    return torch.where(u > EXPONENT_LIMIT, tangent, torch.exp(u.clamp(max=EXPONENT_LIMIT)))


def squared_deviations(features: torch.Tensor) -> torch.Tensor:
    """d_j = || psi(s_j) - mean_j psi(s_j) ||_2^2 of features (..., N, D); shape (..., N)."""
    return (features - features.mean(dim=-2, keepdim=True)).square().sum(dim=-1)


def class_centralization(
    features: torch.Tensor, form: str = "sum", alpha: float = 0.02, beta: float = 0.0
) -> torch.Tensor:
    """L_CC of one class (IID, main_DM_IID.py): its synthetic images are drawn to their mean feature.

    With d_j = || psi(s_j) - mean_j psi(s_j) ||_2^2, the form `sum` (the authors' code) is sum_j d_j, and
    `hinge_exp` (the paper) is sum_j max(0, exp(alpha * d_j) - beta), where the exponential goes on
    linearly beyond alpha * d_j = 10.

    Args:
        features: embeddings by the extractor psi, shape (N, D), or (C, N, D) for the sum over classes.
        form: `sum` or `hinge_exp`.
        alpha: scale of the exponent, > 0; `hinge_exp` only.
        beta: images with exp(alpha * d_j) <= beta are let be, >= 0; no effect below 1; `hinge_exp` only.

    Returns:
        Scalar.

    Raises:
        ConfigError: `form` is neither.
    """
    deviations = squared_deviations(features)
    if form == "sum":
        return deviations.sum()
    if form == "hinge_exp":
        return (continued_exp(alpha * deviations) - beta).relu().sum()
    raise ConfigError(f"cc_form: {unknown('form', form, CC_FORMS)}")


def category_contrastive_rows(
    syn: torch.Tensor, classes: torch.Tensor, real: torch.Tensor, tau: float = 0.1
) -> torch.Tensor:
    """Rows of L_c, one a class: -log( exp(z_c.p_c / tau) / sum_c' exp(z_c.p_c' / tau) ) (UDD; docs/methods.md).

    Row c needs z_c and all p, so that a loop over classes can add `rows.sum() / C` of its own class alone.

    Args:
        syn: mean features of some synthetic classes, shape (B, D); z is their L2 normalisation.
        classes: which classes they are, int64 (B,), in [0, C).
        real: mean features of all C real classes, shape (C, D), constant; p is their L2 normalisation.
        tau: temperature, > 0.

    Returns:
        Shape (B,).
    """
    z = F.normalize(syn, dim=-1)
    p = F.normalize(real.detach(), dim=-1)
    return F.cross_entropy(z @ p.T / tau, classes, reduction="none")


def category_contrastive(syn: torch.Tensor, real: torch.Tensor, tau: float = 0.1) -> torch.Tensor:
    """L_c = -(1/C) sum_c log( exp(z_c.p_c / tau) / sum_c' exp(z_c.p_c' / tau) ) (UDD; docs/methods.md).

    Args:
        syn: mean feature of every synthetic class, shape (C, D); z is their L2 normalisation.
        real: the same of every real class, in the same order, constant; p is their L2 normalisation.
        tau: temperature, > 0.

    Returns:
        Scalar, the mean of `category_contrastive_rows` over the classes.
    """
    classes = torch.arange(len(syn), device=syn.device)
    return category_contrastive_rows(syn, classes, real, tau).mean()


def layer_norms(deviations: Sequence[torch.Tensor], first: float = 10.0) -> torch.Tensor:
    """sum_l w_l ||x_l||_2 with w_1 = `first` and all other w_l = 1.

    Args:
        deviations: one of each layer, shape (C_l,), or (..., C_l) for the sum over the leading dimensions.
        first: weight of the first layer, >= 0.

    Returns:
        Scalar. The gradient of a norm at zero is zero.
    """
    norms = [torch.linalg.vector_norm(deviation, dim=-1).sum() for deviation in deviations]
    norms[0] = first * norms[0]
    return torch.stack(norms).sum()


def batchnorm_statistics(
    means: Sequence[torch.Tensor],
    variances: Sequence[torch.Tensor],
    running_means: Sequence[torch.Tensor],
    running_variances: Sequence[torch.Tensor],
    lambda_mean: float,
    lambda_var: float,
    first: float = 10.0,
) -> torch.Tensor:
    """sum_l w_l ( lambda_mean ||mu_l - mu_l^run||_2 + lambda_var ||var_l - var_l^run||_2 ).

    SRe2L has one weight r_bn for both (data_synthesis.py), DWA decouples them: lambda_mean = r_bn and
    lambda_var = r_bn r_var (utils.py, BNFeatureHook). The norms are not squared.

    Args:
        means, variances: of the inputs of every batch norm, over the images of a batch and all positions; the
            variance is the biased one. Shapes (C_l,), or (..., C_l) for a sum over several batches.
        running_means, running_variances: what the network has learned, (C_l,).
        lambda_mean, lambda_var: weights, >= 0.
        first: w_1; all other w_l are 1.

    Returns:
        Scalar.
    """
    mean = layer_norms([mu - run for mu, run in zip(means, running_means, strict=True)], first)
    variance = layer_norms([var - run for var, run in zip(variances, running_variances, strict=True)], first)
    return lambda_mean * mean + lambda_var * variance
