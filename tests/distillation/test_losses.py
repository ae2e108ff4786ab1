"""The losses against float64 loops written straight from the equations of the papers (docs/methods.md)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from raydd.distillation import (
    class_centralization,
    continued_exp,
    covariance_matching,
    local_covariance,
    mean_matching,
)
from raydd.errors import ConfigError


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def covariance_loop(x: np.ndarray) -> np.ndarray:
    samples, channels, positions = x.shape
    mean = [
        [sum(x[i, c, p] for i in range(samples)) / samples for p in range(positions)] for c in range(channels)
    ]
    sigma = np.zeros((channels, channels))
    for i in range(samples):
        for c in range(channels):
            for d in range(channels):
                for p in range(positions):
                    sigma[c, d] += (x[i, c, p] - mean[c][p]) * (x[i, d, p] - mean[d][p]) / samples
    return sigma


def deviations_loop(features: np.ndarray) -> list[float]:
    mean = sum(features) / len(features)
    return [sum((value - centre) ** 2 for value, centre in zip(row, mean)) for row in features]


def centralization_loop(features: np.ndarray, form: str, alpha: float, beta: float) -> float:
    total = 0.0
    for d in deviations_loop(features):
        if form == "sum":
            total += d
            continue
        u = alpha * d
        grown = math.exp(u) if u <= 10 else math.exp(10) + math.exp(10) * (u - 10)
        total += max(0.0, grown - beta)
    return total


def test_mean_matching_sums_over_features_and_classes() -> None:
    real, syn = draw(3, 5), draw(3, 5, seed=1)
    expected = sum(
        (float(real[c, k]) - float(syn[c, k])) ** 2
        for c in range(real.shape[0])
        for k in range(real.shape[1])
    )
    assert float(mean_matching(real, syn)) == pytest.approx(expected, rel=1e-6)
    assert float(mean_matching(torch.zeros(2, 3), torch.full((2, 3), 2.0))) == 24.0


def test_local_covariance_centres_each_position_over_the_samples_and_divides_by_their_number() -> None:
    x = draw(6, 4, 5)
    np.testing.assert_allclose(
        local_covariance(x).numpy(), covariance_loop(x.double().numpy()), rtol=1e-5, atol=1e-5
    )


def test_local_covariance_of_a_stack_is_that_of_each_class_bit_for_bit() -> None:
    x = draw(3, 6, 4, 5)
    assert torch.equal(local_covariance(x), torch.stack([local_covariance(part) for part in x]))


def test_local_covariance_of_one_sample_is_zero() -> None:
    assert local_covariance(draw(1, 4, 5)).abs().max().item() == 0.0


def test_covariance_matching_is_the_squared_frobenius_distance() -> None:
    real, syn = draw(7, 4, 5), draw(3, 4, 5, seed=1)
    difference = covariance_loop(real.double().numpy()) - covariance_loop(syn.double().numpy())
    assert float(covariance_matching(real, syn)) == pytest.approx(float((difference**2).sum()), rel=1e-5)


def test_covariance_matching_sends_no_gradient_to_the_real_side() -> None:
    real, syn = draw(7, 4, 5).requires_grad_(), draw(3, 4, 5, seed=1).requires_grad_()
    covariance_matching(real, syn).backward()
    assert real.grad is None
    assert syn.grad is not None
    assert syn.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("form", "alpha", "beta"), [("sum", 0.02, 0.0), ("hinge_exp", 0.02, 0.0), ("hinge_exp", 0.05, 1.6)]
)
def test_class_centralization_equals_its_loop(form: str, alpha: float, beta: float) -> None:
    features = draw(6, 8, scale=1.2)
    expected = centralization_loop(features.double().numpy(), form, alpha, beta)
    assert float(class_centralization(features, form, alpha, beta)) == pytest.approx(expected, rel=1e-6)


def test_hinge_lets_images_near_their_mean_be() -> None:
    features = draw(6, 8).requires_grad_()
    deviations = deviations_loop(features.detach().double().numpy())
    inside = sorted(range(6), key=deviations.__getitem__)[:3]
    middle = (sorted(deviations)[2] + sorted(deviations)[3]) / 2
    loss = class_centralization(features, "hinge_exp", 0.02, math.exp(0.02 * middle)).detach()
    expected = sum(
        math.exp(0.02 * d) - math.exp(0.02 * middle) for j, d in enumerate(deviations) if j not in inside
    )
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_every_beta_up_to_one_gives_one_gradient() -> None:
    gradients = []
    for beta in (0.0, 0.5, 1.0):
        features = draw(6, 8).requires_grad_()
        class_centralization(features, "hinge_exp", 0.02, beta).backward()
        gradients.append(features.grad)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_the_exponential_goes_on_along_its_tangent_beyond_ten() -> None:
    u = torch.tensor([-1.0, 9.0, 10.0, 10.5, 5000.0], dtype=torch.float64, requires_grad=True)
    value = continued_exp(u)
    value.sum().backward()
    top = math.exp(10)
    np.testing.assert_allclose(
        value.detach().numpy(), [math.exp(-1), math.exp(9), top, 1.5 * top, top * 4991], rtol=1e-13
    )
    np.testing.assert_allclose(u.grad.numpy(), [math.exp(-1), math.exp(9), top, top, top], rtol=1e-13)


def test_far_samples_keep_a_finite_pull_where_fp32_would_overflow() -> None:
    features = (100.0 * draw(4, 64)).requires_grad_()  # d near 6e5: exp(0.02 d) is infinite in fp32
    loss = class_centralization(features, "hinge_exp", 0.02, 1.0)
    loss.backward()
    expected = centralization_loop(features.detach().double().numpy(), "hinge_exp", 0.02, 1.0)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert bool(features.grad.isfinite().all())
    # the gradient of sum_j e^10 * alpha * d_j
    centred = features.detach() - features.detach().mean(0)
    np.testing.assert_allclose(features.grad.numpy(), (math.exp(10) * 0.02 * 2 * centred).numpy(), rtol=1e-3)


@pytest.mark.parametrize("form", ["sum", "hinge_exp"])
def test_class_centralization_of_a_stack_is_the_sum_over_classes(form: str) -> None:
    features = draw(3, 5, 8)
    parts = sum(float(class_centralization(part, form)) for part in features)
    assert float(class_centralization(features, form)) == pytest.approx(parts, rel=1e-6)


def test_a_single_image_has_no_centralisation_gradient() -> None:
    for form in ("sum", "hinge_exp"):
        features = draw(1, 8).requires_grad_()
        class_centralization(features, form).backward()
        assert features.grad.abs().max().item() == 0.0


def test_an_unknown_form_is_named_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError,
        match=r"cc_form: unknown form 'hinge': did you mean 'hinge_exp'\? \(allowed: hinge_exp, sum",
    ):
        class_centralization(draw(2, 3), "hinge")


def test_the_gradients_of_both_forms_agree_with_finite_differences() -> None:
    features = draw(4, 3).double().requires_grad_()
    maps = draw(4, 3, 2).double().requires_grad_()
    real = draw(5, 3, 2, seed=3).double()
    assert torch.autograd.gradcheck(lambda x: class_centralization(x, "sum"), (features,))
    assert torch.autograd.gradcheck(lambda x: class_centralization(x, "hinge_exp", 4.0, 1.5), (features,))
    assert torch.autograd.gradcheck(lambda x: covariance_matching(real, x), (maps,))
