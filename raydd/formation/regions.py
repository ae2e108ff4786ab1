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
    `pixels`, also where boxes overlap; on the CPU gradients are the same bits whenever threads are as many.

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
    sides = boxes[..., 2].flatten()
    different, counts = sides.unique(return_counts=True)
    most = int(different[-1])

    # Of every box a window of the largest side, whose rows and columns beyond the box are cut off again.
    # Every box reads a view of its image that is its own: `gather` then never adds two gradients in one place,
    # and those of boxes that overlap are added by the view, in a fixed order. Indexing the images themselves would
    # add them in parallel, in any order.
    # Without a wait for the GPU; safe, because memory that is not pinned is copied before the call returns.
    top, left = boxes[..., :2].permute(2, 0, 1).to(pixels.device, non_blocking=True).unsqueeze(-1)
    along = torch.arange(most, device=pixels.device)
    rows, columns = (top + along).clamp(max=height - 1), (left + along).clamp(max=width - 1)
    places = (rows.unsqueeze(-1) * width + columns.unsqueeze(-2)).flatten(2)  # (N, R, most^2)
    own = pixels.flatten(2).unsqueeze(1).expand(-1, regions, -1, -1)
    crops = own.gather(3, places.unsqueeze(2).expand(-1, -1, channels, -1)).flatten(0, 1)
    crops = crops.unflatten(2, (most, most))
    if len(different) == 1:
        return _enlarged(crops, height, width).unflatten(0, (count, regions))
    order = sides.argsort(stable=True)
    groups = crops.index_select(0, order.to(pixels.device, non_blocking=True)).split(counts.tolist())
    enlarged = [
        _enlarged(group[..., :side, :side], height, width) for group, side in zip(groups, different.tolist())
    ]
    back = order.argsort().to(pixels.device, non_blocking=True)
    return torch.cat(enlarged).index_select(0, back).unflatten(0, (count, regions))


def _enlarged(crops: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return F.interpolate(crops, size=(height, width), mode="bilinear", align_corners=False)
