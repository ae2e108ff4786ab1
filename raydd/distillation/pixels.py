"""The optimiser of the synthetic pixels: SGD with momentum, all classes at once or class after class."""

from __future__ import annotations

import torch
from torch import Tensor

UPDATES = ("joint", "per_class")


class PixelSGD:
    """SGD with momentum on the pixels of all classes.

    `joint`: v <- mu v + g, x <- x - lr v, once an iteration (DM). `per_class`: the classes take turns, and at
    each turn one such step is made on all pixels, the gradient being zero outside the class whose turn it is
    (IDM_cifar10.py and IDC's condense.py, whose `optimizer.step()` stands in the loop over classes): momentum
    keeps moving every class at the turns of the others. Those moves need no gradient, so they are summed in
    closed form, and the gradients of all classes can be computed at once, each `at_turn`.

    Args:
        pixels: float32 (classes, ipc, C, H, W); changed in place.
        lr: step size, > 0.
        momentum: mu, in [0, 1).
        update: `joint` or `per_class`.
    """

    def __init__(self, pixels: Tensor, lr: float, momentum: float, update: str) -> None:
        self.pixels = pixels
        self.velocity = torch.zeros_like(pixels)
        self.lr = lr
        self.momentum = momentum
        self.update = update
        classes = len(pixels)
        turns = torch.arange(classes, dtype=torch.float64)
        powers = momentum ** torch.arange(classes + 1, dtype=torch.float64)
        # drift[n] = mu + ... + mu^n: how far n steps without a gradient move, in units of lr v
        drift = torch.cat([torch.zeros(1, dtype=torch.float64), powers[1:].cumsum(0)])
        before, after = turns.long(), (classes - 1 - turns).long()
        self._drift_before = self._by_class(drift[before])
        self._drift_after = self._by_class(drift[after])
        self._decay_to_turn = self._by_class(powers[before + 1])
        self._decay_after = self._by_class(powers[after])

    def _by_class(self, factors: Tensor) -> Tensor:
        return factors.to(self.pixels.dtype).view(-1, 1, 1, 1, 1).to(self.pixels.device)

    def at_turn(self) -> Tensor:
        """Pixels (classes, ipc, C, H, W) as each class finds its own when its turn comes; no graph."""
        if self.update == "joint":
            return self.pixels
        return self.pixels - self.lr * self._drift_before * self.velocity

    def step(self, gradient: Tensor) -> None:
        """One iteration.

        Args:
            gradient: of the loss in the pixels `at_turn`, same shape; each class's own loss for `per_class`.
        """
        if self.update == "joint":
            self.velocity.mul_(self.momentum).add_(gradient)
            self.pixels.add_(self.velocity, alpha=-self.lr)
            return
        start = self.at_turn()
        velocity = self._decay_to_turn * self.velocity + gradient
        self.pixels.copy_(start - self.lr * (1.0 + self._drift_after) * velocity)
        self.velocity.copy_(self._decay_after * velocity)
