"""Logits of a frozen network, and what the inputs of its batch norms look like, from one pass."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from raydd.devices import Compute
from raydd.errors import ConfigError
from raydd.nets.network import Network
from raydd.nets.passes import _autocast, _compiled, _full


class Statistics(NamedTuple):
    """What one pass gives; all float32, differentiable by the images.

    Attributes:
        logits: (N, classes).
        means: of every batch norm, in the order in which they run: mean over images and positions of each channel
            of its input, minus the running mean, (groups, channels).
        variances: the same of the biased variance and the running variance.
    """

    logits: Tensor
    means: list[Tensor]
    variances: list[Tensor]


class StatisticsPasses:
    """Runs a frozen network in eval mode and looks at the inputs of its batch norms on the way.

    The network's own tensors are used, not copies, so that changing its weights in place changes what is run. They
    have to be frozen: gradients flow to the images alone. Convolutions want the channels innermost
    (`channels_last`), compiled or not, which `place` sees to.

    Args:
        net: with batch norm, in eval mode.
        compute: device, precision and whether to compile; `mixed` is float32 here, as image gradients flow.

    Raises:
        ConfigError: the network has no batch norm.
    """

    def __init__(self, net: Network, compute: Compute) -> None:
        if net.per_image:
            raise ConfigError(
                f"teacher: a {type(net).__name__} without batch norm has no statistics that images could match"
            )
        self.compute = compute
        self.low = compute.precision == "bf16"
        self.net = self.place(net)
        self.watched = _Watched(self.net)

    def place(self, net: Network) -> Network:
        """`net` moved to the device, in the memory format that its passes want."""
        return net.to(self.compute.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images: Tensor, groups: int = 1) -> Statistics:
        """One pass.

        Args:
            images: normalised, (N, C, S, S), float32.
            groups: N is divided into as many runs of equal length, each with statistics of its own.
        """
        self.watched.record.groups = groups
        run = _compiled(_statistics) if self.compute.compiled else _statistics
        return Statistics(*run(self.watched, self.low, images.contiguous(memory_format=torch.channels_last)))


class _Record:
    """What the batch norms of one network note while it runs."""

    def __init__(self) -> None:
        self.groups = 1
        self.means: list[Tensor] = []
        self.variances: list[Tensor] = []


class _Watched(nn.Module):
    """A network with the same tensors whose batch norms note their input's moments in `record`."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.record = _Record()
        tensors = [*net.parameters(), *net.buffers()]
        self.net = copy.deepcopy(net, {id(tensor): tensor for tensor in tensors})
        for module in list(self.net.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, name, _WatchedNorm(child, self.record))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images)
        return logits


class _WatchedNorm(nn.Module):
    """A batch norm in eval mode that notes its input's moments.

    They are moments about the running mean, of d = x - running mean: with E d small, E d^2 - (E d)^2 loses no
    digits, and d, needed anyway, is read once for all.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: nn.BatchNorm2d, record: _Record) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.register_buffer("running_mean", norm.running_mean)
        self.register_buffer("running_var", norm.running_var)
        self.eps = norm.eps
        self.record = record

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        d = x - self.running_mean[:, None, None]  # float32, also of bfloat16 maps
        by_group = d.unflatten(0, (self.record.groups, -1))
        mean = by_group.mean(dim=(1, 3, 4))
        self.record.means.append(mean)
        self.record.variances.append(by_group.square().mean(dim=(1, 3, 4)) - mean.square() - self.running_var)
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return torch.addcmul(self.bias[:, None, None], d, scale[:, None, None]).to(x.dtype)


def _statistics(watched: _Watched, low: bool, images: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    record = watched.record
    with _autocast(images, low):
        logits = _full(watched(images), low)
    means, variances = list(record.means), list(record.variances)
    # Nothing is left behind that compiled code would have to hand out.
    record.means.clear()
    record.variances.clear()
    return logits, means, variances
