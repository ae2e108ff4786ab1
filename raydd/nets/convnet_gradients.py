"""Gradients of a ConvNet's convolutions, and how they change with the images, written out for compiled code.

Written out, instance norm, ReLU and pooling are one projection, used again and again, and all that is not a
convolution takes a fifth of the time of what autograd derives (ConvNet-3, w128, 40 images, one CPU thread).

Notation, for one image and channel: y is a convolution's output, d = y - mean(y), r = 1 / sqrt(var(y) + eps),
a = r * gamma, and the block's output is pool(relu(a * d + beta)). `project` is the transposed Jacobian of the norm,
v -> a * (v - mean(v) - r^2 * d * mean(v * d)); it is symmetric.

Maps are (N, H, W, C) in memory and in shape, or (N, H/2, 2, W/2, 2, C) where the windows of the pooling matter.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raydd.nets.convnet import ConvNet
from raydd.nets.network import Network

POSITIONS = (1, 2, 3, 4)

Block = tuple[Tensor, Tensor, Tensor, Tensor]
"""Weight and bias of the convolution, weight and bias of the norm."""

Kept = tuple[Tensor, ...]
"""Of one block and the first order: input x, convolution y, mean, r, cotangent of the output q, gradient of y."""


class Weights(NamedTuple):
    """Parameters of a ConvNet, detached, and what else the code below depends on.

    Attributes:
        blocks: of each block.
        classifier: weight and bias of the linear layer.
        paddings: of the convolutions.
        eps: of the norms.
    """

    blocks: list[Block]
    classifier: tuple[Tensor, Tensor]
    paddings: tuple[int, ...]
    eps: float


def applies(net: Network, size: int) -> bool:
    """Whether `net` is a ConvNet of instance norm that halves images of `size` px without a remainder."""
    if type(net) is not ConvNet or not net.per_image:
        return False
    side = size + 2 * (_convolutions(net)[0].padding[0] - 1)  # type: ignore[operator]
    return side % 2 ** len(_convolutions(net)) == 0


def weights(net: Network) -> Weights:
    """Those of a network that `applies` says yes to."""
    convolutions = _convolutions(net)
    norms = [layer for layer in net.modules() if isinstance(layer, nn.GroupNorm)]
    blocks = []
    for convolution, norm in zip(convolutions, norms, strict=True):
        assert convolution.bias is not None
        kernel = convolution.weight.detach().contiguous(memory_format=torch.channels_last)
        blocks.append((kernel, convolution.bias.detach(), norm.weight.detach(), norm.bias.detach()))
    return Weights(
        blocks,
        (net.classifier.weight.detach(), net.classifier.bias.detach()),
        tuple(int(convolution.padding[0]) for convolution in convolutions),
        norms[0].eps,
    )


def _convolutions(net: Network) -> list[nn.Conv2d]:
    return [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]


def first_order(
    net: Weights, low: bool, images: Tensor, targets: Tensor, shares: Tensor
) -> tuple[list[Tensor], Tensor, list[Kept], Tensor]:
    """Gradients of sum_i shares_i * cross-entropy_i.

    Args:
        net: parameters.
        low: whether maps and convolutions are bfloat16.
        images: (N, C, S, S), channels_last.
        targets: int64 (N,).
        shares: (N,).

    Returns:
        The convolutions' gradients; the sum of the embeddings, weighted with the shares, (D,); what
        `second_order` needs of every block; and the probabilities (N, classes).
    """
    x = _narrow(_rows(images), low)
    forward = []
    for (kernel, bias, gamma, beta), padding in zip(net.blocks, net.paddings):
        y = _convolve(x, _narrow(kernel, low), _narrow(bias, low), padding)
        windows = _windows(_wide(y, low))
        mean = _mean(windows)
        r = torch.rsqrt(_mean((windows - mean).square()) + net.eps)
        forward.append((x, y, mean, r))
        x = _narrow(_pool(F.relu((windows - mean) * (r * gamma) + beta)), low)

    last = _maps(_wide(x, low))
    embedding = last.flatten(1)
    matrix, offset = net.classifier
    probabilities = F.linear(embedding, matrix, offset).softmax(dim=1)
    hot = (targets[:, None] == torch.arange(len(offset), device=targets.device)).to(probabilities.dtype)
    q = _rows(((probabilities - hot) * shares[:, None] @ matrix).view_as(last)).contiguous()

    gradients: list[Tensor] = []
    kept: list[Kept] = []
    for block in reversed(range(len(net.blocks))):
        kernel, _, gamma, beta = net.blocks[block]
        x, y, mean, r = forward[block]
        d = _windows(_wide(y, low)) - mean
        a = r * gamma
        dy = _narrow(_whole(_project(_unpool(q, d * a + beta), d, a, r)), low)
        through, gradient = _convolve_back(
            dy, x, _narrow(kernel, low), net.paddings[block], (block > 0, True)
        )
        gradients.append(_wide(gradient, low).contiguous())
        kept.append((x, y, mean, r, q, dy))
        if block > 0:
            q = _rows(_wide(through, low))
    return gradients[::-1], (embedding * shares[:, None]).sum(0), kept[::-1], probabilities


def gradients_and_embedding(
    net: Weights, low: bool, images: Tensor, targets: Tensor, shares: Tensor
) -> tuple[list[Tensor], Tensor]:
    """The first two results of `first_order`."""
    gradients, embedding, _, _ = first_order(net, low, images, targets, shares)
    return gradients, embedding


def second_order(
    net: Weights,
    low: bool,
    kept: list[Kept],
    probabilities: Tensor,
    shares: Tensor,
    directions: list[Tensor],
    through_embedding: Tensor,
) -> Tensor:
    """Gradient on the images of sum_b <directions_b, gradients_b> + <through_embedding, embedding>.

    Args:
        net, low, shares: as `first_order` had them.
        kept, probabilities: its results.
        directions: cotangents of the gradients, shaped as they are.
        through_embedding: cotangent of the weighted sum of the embeddings, (D,).

    Returns:
        (N, C, S, S), float32.
    """
    # Upwards, with the gradients' backward pass turned round: u is the cotangent of dy, t that of q.
    t: Tensor | None = None
    upwards = []
    for (kernel, _, gamma, beta), padding, direction, (x, y, mean, r, _, _) in zip(
        net.blocks, net.paddings, directions, kept
    ):
        u = _convolve(x, _narrow(direction, low), None, padding)
        if t is not None:
            u = u + _convolve(_narrow(t, low), _narrow(kernel, low), None, padding)
        upwards.append(u)
        d = _windows(_wide(y, low)) - mean
        a = r * gamma
        t = _pool(torch.where(d * a + beta > 0, _project(_windows(_wide(u, low)), d, a, r), 0.0))
    assert t is not None

    matrix, _ = net.classifier
    turned = _maps(t)
    logits = turned.flatten(1) @ matrix.T
    logits = probabilities * (logits - (probabilities * logits).sum(dim=1, keepdim=True))
    p = (logits @ matrix + through_embedding) * shares[:, None]
    p = _rows(p.view_as(turned)).contiguous()

    # Downwards, with the forward pass turned round: p is the cotangent of a block's output, dyy that of y.
    for block in reversed(range(len(net.blocks))):
        kernel, _, gamma, beta = net.blocks[block]
        x, y, mean, r, q, dy = kept[block]
        u = _windows(_wide(upwards[block], low))
        d = _windows(_wide(y, low)) - mean
        a = r * gamma
        z = d * a + beta
        k = _unpool(q, z)
        along_k, along_u = _mean(k * d), _mean(u * d)
        k_mean, u_mean = _mean(k), _mean(u)
        # <u, project(k)> = positions * a * (mean(u k) - mean(u) mean(k) - r^2 mean(u d) mean(k d)), derived by y:
        both = r * r * along_k * along_u
        slope = _mean(u * k) - u_mean * k_mean - 3 * both
        bend = a * r * r * (d * slope + along_k * (u - u_mean) + along_u * (k - k_mean))
        dyy = _narrow(_whole(_project(_unpool(p, z), d, a, r) - bend), low)
        kernel, direction = _narrow(kernel, low), _narrow(directions[block], low)
        padding = net.paddings[block]
        if block == 0:
            return _maps(_image_gradient(dyy, kernel, dy, direction, padding, x.shape[2], low))
        p = _rows(
            _wide(_convolve_back(dyy, x, kernel, padding, (True, False))[0], low)
            + _wide(_convolve_back(dy, x, direction, padding, (True, False))[0], low)
        )
    raise AssertionError("a ConvNet has a block")


def _image_gradient(
    dyy: Tensor, kernel: Tensor, dy: Tensor, direction: Tensor, padding: int, side: int, low: bool
) -> Tensor:
    """The first convolution turned round, (N, H, W, 3): 1x1 convolutions to 27 channels, added up nine times.

    For three channels this takes a third of the time of the transposed convolution.
    """

    def spread(maps: Tensor, kernel: Tensor) -> Tensor:
        return _wide(
            _convolve(maps, kernel.permute(2, 3, 1, 0).flatten(0, 2)[:, :, None, None], None, 0), low
        )

    edge = 2 - padding
    shifts = F.pad(spread(dyy, kernel) + spread(dy, direction), (0, 0, edge, edge, edge, edge))
    shifts = shifts.unflatten(3, (3, 3, -1))
    return torch.stack(
        [shifts[:, 2 - i : 2 - i + side, 2 - j : 2 - j + side, i, j] for i in range(3) for j in range(3)]
    ).sum(0)


def _project(v: Tensor, d: Tensor, a: Tensor, r: Tensor) -> Tensor:
    return a * (v - _mean(v) - r * r * d * _mean(v * d))


def _pool(windows: Tensor) -> Tensor:
    return windows.sum(dim=(2, 4)) * 0.25


def _unpool(q: Tensor, z: Tensor) -> Tensor:
    """Cotangent of z when q is that of pool(relu(z))."""
    return torch.where(z > 0, q[:, :, None, :, None] * 0.25, 0.0)


def _mean(windows: Tensor) -> Tensor:
    # Not Tensor.mean: its division would be done again for every value that reads the result.
    count = windows.shape[1] * windows.shape[3] * 4
    return windows.sum(dim=POSITIONS, keepdim=True) * (1 / count)


def _windows(maps: Tensor) -> Tensor:
    return maps.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))


def _whole(windows: Tensor) -> Tensor:
    return windows.flatten(3, 4).flatten(1, 2)


def _rows(maps: Tensor) -> Tensor:
    """(N, C, H, W) to (N, H, W, C)."""
    return maps.permute(0, 2, 3, 1)


def _maps(rows: Tensor) -> Tensor:
    """(N, H, W, C) to (N, C, H, W)."""
    return rows.permute(0, 3, 1, 2)


def _convolve(x: Tensor, kernel: Tensor, bias: Tensor | None, padding: int) -> Tensor:
    return _rows(F.conv2d(_maps(x), kernel, bias, padding=padding))


def _convolve_back(
    dy: Tensor, x: Tensor, kernel: Tensor, padding: int, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Gradients of a convolution's input (N, C, H, W) and kernel, those that are wanted."""
    through, gradient, _ = torch.ops.aten.convolution_backward(
        _maps(dy), _maps(x), kernel, None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], 1, [*wanted, False]
    )
    return through, gradient


def _narrow(x: Tensor, low: bool) -> Tensor:
    return x.bfloat16() if low else x


def _wide(x: Tensor, low: bool) -> Tensor:
    return x.float() if low else x
