"""Recovering images from a trained network, and adjusting its weights before, as the reference code's loops do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Jitter = Callable[[int, Tensor], Tensor]
"""(iteration, images) to rolled images."""


class Watcher:
    """Holds the loss of one batch norm after each forward pass, from its input as a hook gets it."""

    def __init__(self, module: nn.BatchNorm2d, variance_share: float) -> None:
        self.variance_share = variance_share
        self.handle = module.register_forward_hook(self.look)
        self.loss = torch.zeros(())

    def look(self, module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Called after the module's forward pass."""
        x = inputs[0]
        mean = x.mean([0, 2, 3])
        var = x.permute(1, 0, 2, 3).contiguous().view(x.shape[1], -1).var(1, unbiased=False)
        apart = torch.norm(module.running_var.data - var, 2) * self.variance_share
        self.loss = apart + torch.norm(module.running_mean.data - mean, 2)


class Recovery:
    """One batch of images, a step at a time; the teacher's weights keep `requires_grad`, as the authors leave them.

    Args:
        net: in eval mode.
        images: initial ones, normalised (N, C, S, S).
        targets: int64 (N,).
        lr: of Adam; it would reach zero after `iterations` along half a cosine.
        iterations: of the whole recovery.
        weight: of all statistics.
        variance_share: of the variances beside the means.
        first: of the first batch norm beside the others.
        mean, std: of each channel.
        jitter: see `Jitter`.
    """

    def __init__(
        self,
        net: nn.Module,
        images: Tensor,
        targets: Tensor,
        *,
        lr: float,
        iterations: int,
        weight: float,
        variance_share: float,
        first: float,
        mean: Sequence[float],
        std: Sequence[float],
        jitter: Jitter,
    ) -> None:
        self.net, self.targets = net, targets
        self.lr, self.iterations = lr, iterations
        self.weight, self.first = weight, first
        self.mean, self.std = mean, std
        self.jitter = jitter
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        self.watchers = [Watcher(module, variance_share) for module in norms]
        self.inputs = images.clone().requires_grad_(True)
        self.optimizer = torch.optim.Adam([self.inputs], lr=lr, betas=(0.5, 0.9), eps=1e-8)
        self.criterion = nn.CrossEntropyLoss()
        self.iteration = 0

    def step(self) -> tuple[float, float]:
        """One iteration: the total loss, and its cross-entropy."""
        rate = self.lr * 0.5 * (1.0 + math.cos(math.pi * self.iteration / self.iterations))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        seen = self.jitter(self.iteration, self.inputs)
        self.optimizer.zero_grad()
        loss_ce = self.criterion(self.net(seen), self.targets)
        scales = [self.first] + [1.0] * (len(self.watchers) - 1)
        loss_bn = torch.stack([scale * one.loss for scale, one in zip(scales, self.watchers)]).sum()
        loss = loss_ce + self.weight * loss_bn
        loss.backward()
        self.optimizer.step()
        self.inputs.data = clip(self.inputs.data, self.mean, self.std)
        self.iteration += 1
        return loss.item(), loss_ce.item()


def clip(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Channel after channel into what pixels of 0 to 1 are when they are normalised."""
    for channel in range(images.shape[1]):
        m, s = mean[channel], std[channel]
        images[:, channel] = torch.clamp(images[:, channel], -m / s, (1 - m) / s)
    return images


def adjust(net: nn.Module, images: Tensor, targets: Tensor, rho: float, steps: int) -> None:
    """Move the weights along the normalised gradient of the images' cross-entropy, `rho` in `steps` parts."""
    criterion = nn.CrossEntropyLoss()
    inputs = images.clone().requires_grad_(True)
    for _ in range(steps):
        net.zero_grad()
        criterion(net(inputs), targets).backward()
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        norm = torch.norm(torch.stack([gradient.norm(p=2) for gradient in gradients]), p=2)
        scale = rho / steps / (norm + 1e-12)
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.grad is not None:
                    parameter.add_(parameter.grad * scale.to(parameter))
