"""Several networks of one kind, trained as one: each parameter a stack, each layer one batched operation."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, vmap

from raydd.devices import Compute
from raydd.nets.network import Network


class Ensemble:
    """Networks of one architecture whose parameters are stacked.

    Args:
        nets: of one specification that `supports` says yes to, on one device; not changed before `write_back`.
        compute: device and precision; bfloat16 unless the precision is `fp32`, as no image gradient is wanted.
    """

    def __init__(self, nets: Sequence[Network], compute: Compute) -> None:
        self.nets = list(nets)
        self.low = compute.precision != "fp32"
        # A meta device holds shapes only: the calls below bring the parameters with them.
        self.skeleton = copy.deepcopy(self.nets[0]).to("meta")
        members = [dict(net.named_parameters()) for net in self.nets]
        self.stacked = {
            name: torch.stack([member[name].detach() for member in members]).requires_grad_(
                parameter.requires_grad
            )
            for name, parameter in members[0].items()
        }

    @staticmethod
    def supports(net: Network) -> bool:
        """Whether networks of this kind can be stacked: they have neither batch norm nor dropout.

        Running statistics are no parameters, and each network would need random numbers of its own.
        """
        return net.per_image and not net.random

    def parameters(self) -> Iterator[Tensor]:
        """Stacked parameters (R, ...); an elementwise optimiser treats them as it would treat each network's."""
        return iter(self.stacked.values())

    def backward(
        self, images: Tensor, targets: Tensor, *, temperature: float = 1.0, scale: float = 1.0
    ) -> None:
        """Add to each network's gradient that of `scale` times the mean CE(logits / `temperature`) of its own batch.

        Args:
            images: normalised, (R, N, C, S, S), one batch for each of the R networks.
            targets: int64 (R, N), or soft labels float32 (R, N, classes).
        """
        losses: Tensor = vmap(functools.partial(self._loss, temperature))(self.stacked, images, targets)
        (losses.sum() * scale).backward()

    def _loss(
        self, temperature: float, parameters: dict[str, Tensor], images: Tensor, targets: Tensor
    ) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.low):
            logits: Tensor = functional_call(self.skeleton, parameters, (images,))
        return F.cross_entropy((logits.float() if self.low else logits) / temperature, targets)

    @torch.no_grad()
    def write_back(self) -> None:
        """Copy the parameters back into the networks."""
        for index, net in enumerate(self.nets):
            for name, parameter in net.named_parameters():
                parameter.copy_(self.stacked[name][index])
