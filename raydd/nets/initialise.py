"""The initialiser of every network: torch's default distributions but for ResNetAP, drawn from one generator."""

from __future__ import annotations

import math

import torch
from torch import nn

from raydd.nets.layers import Positions


@torch.no_grad()
def initialise(net: nn.Module, generator: torch.Generator) -> None:
    """Fill all parameters of `net` in place, in the order of its modules.

    Convolutions and linear layers: weight and bias ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)), which is what
    torch's `kaiming_uniform_(a=sqrt(5))` comes to. Convolutions of a network that is `he_normal`, which have no
    bias: weight ~ N(0, 2/fan_out), fan_out being output channels times the kernel's positions. Normalisation
    layers: weight 1, bias 0; running mean 0 and variance 1 of no batches. Positions ~ N(0, 0.02^2). Equal
    generators give equal bits, and the global random state is neither read nor moved.

    Args:
        net: made of Conv2d, Linear, GroupNorm, LayerNorm, BatchNorm2d and Positions; its parameters may be
            uninitialised memory, on the CPU.
        generator: CPU generator.

    Raises:
        TypeError: a module holds parameters of its own and is none of these kinds.
    """
    he_normal = getattr(net, "he_normal", False)
    for module in net.modules():
        if he_normal and isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            module.weight.normal_(0.0, math.sqrt(2.0 / fan_out), generator=generator)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            bound = 1.0 / math.sqrt(module.weight[0].numel())
            module.weight.uniform_(-bound, bound, generator=generator)
            if module.bias is not None:
                module.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(module, nn.GroupNorm | nn.LayerNorm | nn.BatchNorm2d):
            module.weight.fill_(1.0)
            module.bias.fill_(0.0)
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
        elif isinstance(module, Positions):
            module.weight.normal_(0.0, 0.02, generator=generator)
        elif any(True for _ in module.parameters(recurse=False)):
            raise TypeError(f"no initialiser for the parameters of {type(module).__name__}")
