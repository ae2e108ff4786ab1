"""The pixels' SGD against torch's own, stepped class after class as the authors' loops do."""

from __future__ import annotations

import pytest
import torch

from raydd.distillation import PixelSGD

CLASSES, MOMENTUM, LR = 4, 0.5, 0.3


def targets() -> torch.Tensor:
    return torch.randn(CLASSES, 2, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def class_loss(pixels: torch.Tensor, class_: int) -> torch.Tensor:
    """A loss whose gradient depends on where the class's pixels are."""
    return ((pixels[class_] - targets()[class_]) ** 2).sum() + pixels[class_].sin().sum()


def start() -> torch.Tensor:
    return torch.randn(CLASSES, 2, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def literal(iterations: int, momentum: float) -> torch.Tensor:
    """One `optimizer.step()` on the whole tensor at every class's turn."""
    pixels = start().requires_grad_()
    optimiser = torch.optim.SGD([pixels], lr=LR, momentum=momentum)
    for _ in range(iterations):
        for class_ in range(CLASSES):
            optimiser.zero_grad(set_to_none=False)
            class_loss(pixels, class_).backward()
            optimiser.step()
    return pixels.detach()


def ours(iterations: int, momentum: float, update: str) -> PixelSGD:
    optimiser = PixelSGD(start(), LR, momentum, update)
    for _ in range(iterations):
        leaf = optimiser.at_turn().detach().clone().requires_grad_()
        loss = sum(class_loss(leaf, class_) for class_ in range(CLASSES))
        (gradient,) = torch.autograd.grad(loss, leaf)
        optimiser.step(gradient)
    return optimiser


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_class_after_class_is_torchs_sgd_stepped_in_the_loop_over_classes(momentum: float) -> None:
    found = ours(5, momentum, "per_class")
    torch.testing.assert_close(found.pixels, literal(5, momentum), rtol=1e-12, atol=1e-12)
    if momentum:
        # the other classes do move at a class's turn: a step for all at once ends elsewhere
        assert (found.pixels - ours(5, momentum, "joint").pixels).abs().max() > 1e-2


def test_all_at_once_is_torchs_sgd_on_the_sum() -> None:
    pixels = start().requires_grad_()
    optimiser = torch.optim.SGD([pixels], lr=LR, momentum=MOMENTUM)
    for _ in range(5):
        optimiser.zero_grad()
        sum(class_loss(pixels, class_) for class_ in range(CLASSES)).backward()
        optimiser.step()
    found = ours(5, MOMENTUM, "joint").pixels
    torch.testing.assert_close(found, pixels.detach(), rtol=1e-12, atol=1e-12)
