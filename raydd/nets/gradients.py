"""Gradients of the cross-entropy by a network's convolutions: constants of real images, functions of synthetic ones."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from raydd.devices import Compute
from raydd.errors import ConfigError
from raydd.nets import convnet_gradients
from raydd.nets.network import Network
from raydd.nets.passes import _autocast, _compiled, _full, part_size


class GradientPasses:
    """What gradient matching asks of networks: gradients of a class's real images and of its synthetic ones.

    The gradients are those of the mean cross-entropy by the weights of the convolutions, in the network's order;
    biases, norms and linear layers are left out, as in IDC's code. Every call gives the mean embedding too, from the
    same forward pass. Networks are neither changed nor given gradients of their own, whether or not they are frozen.

    Compiled code is made once for each kind of network and number of images, never for a network.

    Args:
        compute: device, precision and whether to compile; `mixed` keeps float32 for the synthetic images.
        batch_real: the usual number of images of a call of `real`; others work too.
        size: side of the images in pixels.
    """

    def __init__(self, compute: Compute, *, batch_real: int, size: int) -> None:
        self.compute = compute
        self.part = part_size(max(1, batch_real), size, compute.device)
        self.format = torch.channels_last if compute.compiled else torch.contiguous_format

    @torch.no_grad()
    def real(self, net: Network, images: Tensor, targets: Tensor) -> tuple[list[Tensor], Tensor]:
        """Gradients, contiguous, and mean embedding (D,), float32 constants; computed in parts on the CPU.

        Args:
            net: best as `Passes.place` leaves it.
            images: normalised, (N, C, S, S), N >= 1.
            targets: int64 (N,).
        """
        low = self.compute.precision != "fp32"
        sums: list[Tensor] = []
        for first in range(0, len(images), self.part):
            part, rows = images[first : first + self.part], targets[first : first + self.part]
            shares = part.new_full((len(part),), 1.0 / len(images))
            if len(part) < self.part and self.compute.compiled:
                filling = self.part - len(part)
                part = torch.cat([part, part[:1].expand(filling, -1, -1, -1)])
                rows = torch.cat([rows, rows[:1].expand(filling)])
                shares = F.pad(shares, (0, filling))
            gradients, embedding = self._constant(
                net, low, part.contiguous(memory_format=self.format), rows, shares
            )
            found = [*gradients, embedding]
            sums = [one.add_(other) for one, other in zip(sums, found)] if sums else found
        return sums[:-1], sums[-1]

    def synthetic(self, net: Network, images: Tensor, targets: Tensor) -> tuple[list[Tensor], Tensor]:
        """Gradients and mean embedding (D,), float32, differentiable once more by `images`, with constant weights.

        Uncompiled, differentiate them by `torch.autograd.grad`: `Tensor.backward` would compute gradients by the
        weights as well, and throw them away.

        Args:
            net: best as `Passes.place` leaves it.
            images: normalised, (N, C, S, S), N >= 1, carrying the graph.
            targets: int64 (N,).
        """
        low = self.compute.precision == "bf16"
        images = images.contiguous(memory_format=self.format)
        shares = images.new_full((len(images),), 1.0 / len(images))
        if not self.compute.compiled:
            return _by_autograd(net, low, images, targets, shares, compiled=False, differentiable=True)
        if convnet_gradients.applies(net, images.shape[-1]):
            weights = convnet_gradients.weights(net)
            embedding, *gradients = _ConvNetGradients.apply(images, weights, low, targets, shares)
            return gradients, embedding
        return _compiled(_functional)(_Heads(net), low, *_split(net), images, targets, shares)

    def _constant(
        self, net: Network, low: bool, images: Tensor, targets: Tensor, shares: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        if self.compute.compiled and convnet_gradients.applies(net, images.shape[-1]):
            run = _compiled(convnet_gradients.gradients_and_embedding)
            return run(convnet_gradients.weights(net), low, images, targets, shares)
        gradients, embedding = _by_autograd(
            net, low, images, targets, shares, compiled=self.compute.compiled, differentiable=False
        )
        return [gradient.contiguous() for gradient in gradients], embedding.detach()


class _Heads(nn.Module):
    """A network that gives its embedding beside its logits; `functional_call` calls `forward` only."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.net.embed(images)
        return embedding, self.net.classifier(embedding)


def _split(net: Network) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters of `_Heads(net)`, detached: the weights of the convolutions, and the rest.

    Raises:
        ConfigError: there is no convolution.
    """
    parameters = {f"net.{name}": parameter.detach() for name, parameter in net.named_parameters()}
    kernels = {name: parameter for name, parameter in parameters.items() if parameter.ndim == 4}
    if not kernels:
        raise ConfigError(
            f"net: gradients are matched by the weights of convolutions, and {type(net).__name__} has none"
        )
    return kernels, {name: parameter for name, parameter in parameters.items() if name not in kernels}


def _loss(
    heads: _Heads, low: bool, parameters: dict[str, Tensor], images: Tensor, targets: Tensor, shares: Tensor
) -> tuple[Tensor, Tensor]:
    """Weighted sum of the cross-entropies, and that of the embeddings (D,)."""
    with _autocast(images, low):
        embedding, logits = functional_call(heads, parameters, (images,))
    losses = F.cross_entropy(_full(logits, low), targets, reduction="none")
    return (losses * shares).sum(), (_full(embedding, low) * shares[:, None]).sum(dim=0)


def _by_autograd(
    net: Network,
    low: bool,
    images: Tensor,
    targets: Tensor,
    shares: Tensor,
    *,
    compiled: bool,
    differentiable: bool,
) -> tuple[list[Tensor], Tensor]:
    kernels, rest = _split(net)
    leaves = {name: kernel.requires_grad_() for name, kernel in kernels.items()}
    with torch.enable_grad():
        run = _compiled(_loss) if compiled else _loss
        loss, embedding = run(_Heads(net), low, {**leaves, **rest}, images, targets, shares)
        gradients = torch.autograd.grad(loss, list(leaves.values()), create_graph=differentiable)
    return list(gradients), embedding


def _functional(
    heads: _Heads,
    low: bool,
    kernels: dict[str, Tensor],
    rest: dict[str, Tensor],
    images: Tensor,
    targets: Tensor,
    shares: Tensor,
) -> tuple[list[Tensor], Tensor]:
    """Differentiable gradients for torch.compile, which knows torch.func.grad and not torch.autograd.grad."""

    def loss(kernels: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return _loss(heads, low, {**kernels, **rest}, images, targets, shares)

    gradients, embedding = torch.func.grad(loss, has_aux=True)(kernels)
    return list(gradients.values()), embedding


class _ConvNetGradients(torch.autograd.Function):
    """A ConvNet's mean embedding and gradients as functions of the images; both directions run compiled."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weights: convnet_gradients.Weights,
        low: bool,
        targets: Tensor,
        shares: Tensor,
    ) -> tuple[Tensor, ...]:
        run = _compiled(convnet_gradients.first_order)
        gradients, embedding, kept, probabilities = run(weights, low, images, targets, shares)
        ctx.given = (weights, low, kept, probabilities, shares)
        return embedding, *gradients

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, through_embedding: Tensor, *directions: Tensor) -> tuple[Tensor | None, ...]:
        run = _compiled(convnet_gradients.second_order)
        # Compiled code is made for one layout, and cotangents come in any.
        dense = [direction.contiguous(memory_format=torch.channels_last) for direction in directions]
        return run(*ctx.given, dense, through_embedding.contiguous()), None, None, None, None
