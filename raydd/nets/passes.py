"""Forward passes: the one way that networks are run, eager or compiled, in float32 or bfloat16, in small parts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from raydd import compiling
from raydd.devices import Compute
from raydd.nets.network import Network

PART_PIXELS = 20 * 32 * 32
"""Pixels of a pass on the CPU: with 20 images at 32 px the widest map of a ConvNet stays near the cores."""


def part_size(images: int, size: int, device: torch.device) -> int:
    """Images of one pass when `images` of `size` x `size` pixels are run in equal parts.

    On the CPU small parts run up to twice as fast as the whole; on a GPU the whole is one pass.
    """
    if device.type != "cpu":
        return images
    most = max(8, PART_PIXELS // size**2)
    return -(-images // -(-images // most))


class Passes:
    """Runs networks of any specification on one device.

    Where no image's output depends on the others, running a batch in parts changes rounding at most. Compiled
    code is made for one shape; so the last part of a batch is filled up, with copies whose outputs are thrown
    away, and a study needs few shapes. A network with batch norm sees the whole batch at once in train mode,
    and nothing else: each size of batch is then a shape. Compiled code wants the channels innermost
    (`channels_last`), uncompiled code is faster and more accurate without.

    Args:
        compute: device, precision and whether to compile.
        image_gradient: whether gradients flow to the images; `mixed` keeps float32 there.
        batch: the usual number of images of a call, which decides how large the parts are; others work too.
        size: side of the images in pixels.
    """

    def __init__(self, compute: Compute, *, image_gradient: bool, batch: int, size: int) -> None:
        self.compute = compute
        self.low = compute.precision == "bf16" or (compute.precision == "mixed" and not image_gradient)
        # With image gradients every part's maps are kept for the way back, so that parts save nothing.
        self.part = max(1, batch) if image_gradient else part_size(max(1, batch), size, compute.device)
        self.format = torch.channels_last if compute.compiled else torch.contiguous_format

    def place(self, net: Network) -> Network:
        """`net` moved to the device, in the memory format that its passes want."""
        return net.to(self.compute.device).to(memory_format=self.format)  # type: ignore[call-overload]

    def embed(self, net: Network, images: Tensor) -> Tensor:
        """Embeddings (N, D), float32, of normalised images (N, C, S, S)."""
        return torch.cat([self._run(_embed, net, part)[:kept] for part, kept in self._parts(net, images)])

    def embed_with_map(self, net: Network, images: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (N, D) and local features (N, K, positions), float32, from one pass."""
        pairs = []
        for part, kept in self._parts(net, images):
            embedding, local = self._run(_embed_with_map, net, part)
            pairs.append((embedding[:kept], local[:kept]))
        embeddings, maps = zip(*pairs)
        return torch.cat(embeddings), torch.cat(maps)

    def logits(self, net: Network, images: Tensor) -> Tensor:
        """Logits (N, classes), float32."""
        return torch.cat([self._run(_logits, net, part)[:kept] for part, kept in self._parts(net, images)])

    def unpooled(self, net: Network, images: Tensor) -> Tensor:
        """The last block's output before its last pooling, (N, K, h, w), float32."""
        return torch.cat([self._run(_unpooled, net, part)[:kept] for part, kept in self._parts(net, images)])

    def backward(
        self,
        net: Network,
        images: Tensor,
        targets: Tensor,
        *,
        temperature: float = 1.0,
        scale: float = 1.0,
    ) -> Tensor:
        """Add the gradient of `scale` x mean cross-entropy(logits / `temperature`, targets) to the parameters'.

        Args:
            net: to be trained.
            images: normalised, (N, C, S, S).
            targets: int64 (N,), or soft labels float32 (N, classes).
            temperature: > 0.
            scale: of the loss, such as T^2.

        Returns:
            The logits (N, classes), float32, without a graph.
        """
        count, first = len(images), 0
        logits = []
        for part, kept in self._parts(net, images):
            rows = targets[first : first + kept]
            weights = part.new_full((len(part),), scale / count)
            if len(part) > kept:
                rows = torch.cat([rows, rows[:1].expand(len(part) - kept, *rows.shape[1:])])
                weights[kept:] = 0.0
            if temperature == 1.0:
                loss, outputs = self._run(_weighted_loss, net, part, rows, weights)
            else:
                # A tensor, for compiled code is made anew for every other number that it is given.
                divisor = part.new_full((), temperature)
                loss, outputs = self._run(_tempered_loss, net, part, rows, weights, divisor)
            loss.backward()
            logits.append(outputs[:kept])
            first += kept
        return torch.cat(logits)

    def _parts(self, net: Network, images: Tensor) -> Iterator[tuple[Tensor, int]]:
        """Parts of `images`, and how many images of each are not filling."""
        if net.training and not net.per_image:
            yield images.contiguous(memory_format=self.format), len(images)
            return
        for part in images.split(self.part):
            kept = len(part)
            if kept < self.part and self.compute.compiled:
                part = torch.cat([part, part[:1].expand(self.part - kept, -1, -1, -1)])
            yield part.contiguous(memory_format=self.format), kept

    def _run(self, function: Callable[..., Any], net: Network, *tensors: Tensor) -> Any:
        run = _compiled(function) if self.compute.compiled else function
        return run(net, self.low, *tensors)


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    compiling.prepare()
    return torch.compile(function, dynamic=False, fullgraph=True)


def _autocast(images: Tensor, low: bool) -> torch.autocast:
    return torch.autocast(images.device.type, torch.bfloat16, enabled=low)


def _full(outputs: Tensor, low: bool) -> Tensor:
    return outputs.float() if low else outputs


def _embed_with_map(net: Network, low: bool, images: Tensor) -> tuple[Tensor, Tensor]:
    with _autocast(images, low):
        local = _full(net.local_features(images), low)
    return net.pooled(local), local


def _embed(net: Network, low: bool, images: Tensor) -> Tensor:
    return _embed_with_map(net, low, images)[0]


def _logits(net: Network, low: bool, images: Tensor) -> Tensor:
    with _autocast(images, low):
        return _full(net(images), low)


def _unpooled(net: Network, low: bool, images: Tensor) -> Tensor:
    with _autocast(images, low):
        return _full(net.unpooled_features(images), low)


def _weighted_loss(
    net: Network, low: bool, images: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    logits = _logits(net, low, images)
    return (F.cross_entropy(logits, targets, reduction="none") * weights).sum(), logits.detach()


def _tempered_loss(
    net: Network, low: bool, images: Tensor, targets: Tensor, weights: Tensor, temperature: Tensor
) -> tuple[Tensor, Tensor]:
    logits = _logits(net, low, images)
    losses = F.cross_entropy(logits / temperature, targets, reduction="none")
    return (losses * weights).sum(), logits.detach()
