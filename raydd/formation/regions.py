"""Regions: chosen square windows of stored images, each enlarged to a whole image (UDD)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from raydd.errors import ArtifactError


def check_boxes(boxes: torch.Tensor, images: int, height: int, width: int) -> None:
    """Refuse boxes that are no whole windows of `images` images of `height` x `width` pixels.

    Args:
        boxes: as `crop_regions` takes them, on any device; reading them waits for a GPU.

    Raises:
        ArtifactError: not int64, not of shape (images, R >= 1, 3), or a window that leaves its image.
    """
    if boxes.dtype != torch.int64 or boxes.ndim != 3 or boxes.shape[::2] != (images, 3) or not boxes.shape[1]:
        raise ArtifactError(
            f"boxes are {boxes.dtype} of shape {tuple(boxes.shape)}; "
            f"allowed is torch.int64 of shape ({images}, at least 1, 3)"
        )
    top, left, side = boxes.unbind(-1)
    # compared with `height - side`, because `top + side` of a forged file may overflow
    outside = (top < 0) | (left < 0) | (side < 1) | (top > height - side) | (left > width - side)
    if outside.any():
        image, region = outside.nonzero()[0].tolist()
        raise ArtifactError(
            f"box {region} of image {image} is (y0, x0, side) = {tuple(boxes[image, region].tolist())}; "
            f"allowed are windows of side >= 1 inside the {height} x {width} pixels"
        )


def crop_regions(pixels: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Cut every box out of its image and enlarge it bilinearly (align_corners False) to the image's size.

    Equal to interpolating the slice alone: nothing outside a box reaches its region. Differentiable in
    `pixels`, also where boxes overlap.

    Args:
        pixels: float, shape (N, C, H, W), on any device.
        boxes: int64, shape (N, R, 3): (y0, x0, side) in stored pixels. Best kept on the CPU: sides decide
            about shapes, and reading them from a GPU waits for it.

    Returns:
        Shape (N, R, C, H, W), in the order of the boxes.

    Raises:
        ArtifactError: see `check_boxes`.
    """
    count, channels, height, width = pixels.shape
    boxes = boxes.cpu()
    check_boxes(boxes, count, height, width)
    regions = boxes.shape[1]
    top, left, sides = boxes.flatten(0, 1).unbind(-1)
    image = torch.arange(count).repeat_interleave(regions)
    channel = torch.arange(channels, device=pixels.device).view(1, -1, 1, 1)
    groups, enlarged = [], []
    for side in sides.unique().tolist():  # one indexing and one interpolation for all boxes of a side
        group = (sides == side).nonzero().flatten()
        places = torch.stack([image[group], top[group], left[group]])
        # without a wait for the GPU; safe, because memory that is not pinned is copied before the call returns
        n, y0, x0 = places.to(pixels.device, non_blocking=True).view(3, -1, 1, 1, 1).unbind()
        along = torch.arange(side, device=pixels.device)
        crops = pixels[n, channel, y0 + along.view(-1, 1), x0 + along]
        enlarged.append(F.interpolate(crops, size=(height, width), mode="bilinear", align_corners=False))
        groups.append(group)
    whole = torch.cat(enlarged)
    if len(groups) > 1:
        whole = whole[torch.cat(groups).argsort().to(pixels.device, non_blocking=True)]
    return whole.unflatten(0, (count, regions))
