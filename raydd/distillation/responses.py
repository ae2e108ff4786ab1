"""Response maps: where in an image a proxy network, trained on real data, responds (UDD; docs/methods.md)."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from raydd import nets
from raydd.errors import ConfigError, unknown
from raydd.nets import Network, Passes
from raydd.nets.convnet import ConvNet

RESPONSE_FORMS = ("activation", "evidence")


def evidence_weights(net: Network, labels: Tensor, channels: int, side: int) -> Tensor:
    """What one unit of every unpooled feature adds to the logit of the label's class.

    A ConvNet's classifier reads the map after 2x2 average pooling: an unpooled position adds a quarter of its
    pooled cell's weight, and a last row or column that the pooling leaves out adds nothing. A ResNet's reads the
    map averaged over all positions: each adds weight / positions.

    Args:
        net: the network.
        labels: int64 (N,).
        channels, side: of the unpooled features.

    Returns:
        Shape (N, channels, side, side), or (N, channels, 1, 1) where all positions have one weight.

    Raises:
        ConfigError: the classifier reads something else than the pooled map, as LeNet's and AlexNet's do.
    """
    weight = net.classifier.weight[labels]
    if not isinstance(net, ConvNet):
        if weight.shape[1] != channels:
            raise ConfigError(
                f"response_form: 'evidence' is not defined for {type(net).__name__}, whose classifier does not read "
                "the averages of its last map; use activation, or a ConvNet or ResNet as the proxy"
            )
        return weight[..., None, None] / side**2
    half = side // 2
    cells = weight.view(len(labels), channels, half, half)
    fine = cells.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) / 4
    return F.pad(fine, (0, side - 2 * half, 0, side - 2 * half))


@functools.cache  # asked for every trial, and the same network in all of them
@torch.no_grad()
def check_evidence(spec: str, channels: int, size: int) -> None:
    """Refuse a proxy network whose `evidence` map is not defined, before it is trained.

    Raises:
        ConfigError: see `evidence_weights`.
    """
    net = nets.build(spec, channels=channels, size=size, classes=2, generator=torch.Generator()).eval()
    features = net.unpooled_features(torch.zeros(1, channels, size, size))
    evidence_weights(net, torch.zeros(1, dtype=torch.int64), features.shape[1], features.shape[-1])


@torch.no_grad()
def response_map(
    net: Network, images: Tensor, labels: Tensor, passes: Passes, form: str = "activation"
) -> Tensor:
    """How strongly every position of `net`'s last map responds.

    The map is the last block's output before its last pooling: `activation` is its mean over the channels
    (>= 0), `evidence` the sum over the channels of feature x weight of the true class at that position, an
    exact split: the sum over positions plus the classifier's bias is the class's logit.

    Args:
        net: the proxy network, on the device of `images`.
        images: normalised, (N, C, S, S).
        labels: int64 (N,); read by `evidence` only.
        passes: how networks are run.
        form: `activation` or `evidence`.

    Returns:
        float32, shape (N, h, w).

    Raises:
        ConfigError: `form` is neither.
    """
    if form not in RESPONSE_FORMS:
        raise ConfigError(f"response_form: {unknown('form', form, RESPONSE_FORMS)}")
    features = passes.unpooled(net, images)
    if form == "activation":
        return features.mean(dim=1)
    return (features * evidence_weights(net, labels, features.shape[1], features.shape[-1])).sum(dim=1)


def overhang(net: Network, size: int) -> float:
    """Share of the side of `net`'s maps that lies beyond the image, on each side.

    Only a ConvNet at 28 px has any: its first convolution widens the image by 2 px all around, so that the maps
    cover 32 px and the share is 1/16.
    """
    if not isinstance(net, ConvNet):
        return 0.0
    extra = net.blocks[0].padding[0] - 1  # type: ignore[index, operator]
    return float(extra / (size + 2 * extra))


def _interpolation(length: int, side: int, beyond: float, device: torch.device) -> Tensor:
    """Matrix (side, length) that reads `length` samples at `side` pixel centres, linearly, as align_corners=False."""
    centres = (torch.arange(side, dtype=torch.float64, device=device) + 0.5) / side
    at = ((beyond + (1.0 - 2.0 * beyond) * centres) * length - 0.5).clamp(0.0, length - 1.0)
    distances = (at[:, None] - torch.arange(length, dtype=torch.float64, device=device)).abs()
    return (1.0 - distances).clamp(min=0.0)


def resized_map(maps: Tensor, side: int, beyond: float = 0.0) -> Tensor:
    """Maps (N, h, w) brought bilinearly to the side of their source, (N, side, side), in their dtype.

    Args:
        maps: see `response_map`.
        side: of the source in pixels.
        beyond: share of the maps that covers nothing of the source, on each side (see `overhang`); with 0 it is
            `F.interpolate(mode="bilinear", align_corners=False)`.
    """
    # In float64: a constant map stays one, to the bit, and its windows tie.
    rows = _interpolation(maps.shape[1], side, beyond, maps.device)
    columns = _interpolation(maps.shape[2], side, beyond, maps.device)
    return (rows @ maps.double() @ columns.T).to(maps.dtype)
