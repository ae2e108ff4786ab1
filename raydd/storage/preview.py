"""Pictures that a person can look at: the preview of a distilled set, and where its regions lie."""

from __future__ import annotations

import io

import numpy as np
import torch

TILE = 64  # pixels: smaller images are enlarged to about this side
GAP = 2
MAX_ROWS = 100
LINE = 2  # pixels of an enlarged image
OUTLINE = (0, 255, 255)  # cyan, the one hue that the heat map has nowhere


def preview_grid(pixels: torch.Tensor, labels: torch.Tensor, per_class: int = 10) -> np.ndarray:
    """One row per class, for people.

    Args:
        pixels: float, in [0, 1], shape (N, 1 or 3, H, W); other channel counts show their first channel.
        labels: int64, shape (N,).
        per_class: images in a row, at most.

    Returns:
        uint8, shape (height, width, 3). Small images are enlarged by a whole factor with nearest
        neighbours, tiles are parted by white lines, and only the first 100 classes are shown.
    """
    rows = _rows(labels, per_class)
    return _grid(_enlarged(_colours(pixels[_shown(rows)])), rows)


def regions_picture(
    pixels: torch.Tensor, maps: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor, per_class: int = 10
) -> np.ndarray:
    """Where a network looks and which regions were chosen (UDD): every image twice, one row per class.

    On the left of a tile is the image. On the right it is half covered by its activation, from black (its
    lowest value) over red and yellow to white (its highest), with the chosen boxes outlined in cyan.

    Args:
        pixels: float, in [0, 1], shape (N, 1 or 3, H, W).
        maps: float, shape (N, H, W), any scale; each image's own lowest and highest values span the colours.
        boxes: int64, shape (N, R, 3): (y0, x0, side) in the images' pixels.
        labels: int64, shape (N,).
        per_class: images in a row, at most.

    Returns:
        uint8, shape (height, width, 3); see `preview_grid`.
    """
    rows = _rows(labels, per_class)
    shown = _shown(rows)
    images = _colours(pixels[shown])
    heated = _enlarged((images + _heat(maps[shown])) / 2)
    scale = heated.shape[1] // images.shape[1]
    for tile, chosen in zip(heated, (boxes[shown] * scale).tolist()):
        for top, left, side in chosen:
            _outline(tile[top : top + side, left : left + side])
    plain = _enlarged(images)
    line = np.full((*plain.shape[:2], GAP, 3), 255, dtype=np.uint8)
    return _grid(np.concatenate([plain, line, heated], axis=2), rows)


def png(grid: np.ndarray) -> bytes:
    """A uint8 grid (height, width, 3) as the bytes of a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(grid).save(buffer, format="PNG")
    return buffer.getvalue()


def _colours(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels (N, C, H, W) as colours, float in [0, 1], shape (N, H, W, 3), on the CPU."""
    if pixels.shape[1] != 3:
        pixels = pixels[:, :1].expand(-1, 3, -1, -1)
    return pixels.detach().cpu().permute(0, 2, 3, 1)


def _heat(maps: torch.Tensor) -> torch.Tensor:
    """Maps (N, H, W) as colours, float in [0, 1], shape (N, H, W, 3): black, red, yellow, white."""
    maps = maps.detach().to("cpu", torch.float32)
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    share = (maps - low) / (high - low).clamp_min(torch.finfo(torch.float32).tiny)
    return (3 * share.unsqueeze(-1) - torch.arange(3.0)).clamp(0.0, 1.0)


def _enlarged(colours: torch.Tensor) -> np.ndarray:
    """Colours (N, H, W, 3) in [0, 1] as uint8 tiles, enlarged by the whole factor nearest below `TILE`."""
    scale = max(1, TILE // colours.shape[2])
    tiles = (colours * 255.0).round().to(torch.uint8).numpy()
    return tiles.repeat(scale, axis=1).repeat(scale, axis=2)


def _outline(window: np.ndarray) -> None:
    """Draw a line just inside the border of a part (height, width, 3) of a tile, in place."""
    for edge in (window[:LINE], window[-LINE:], window[:, :LINE], window[:, -LINE:]):
        edge[...] = OUTLINE


def _rows(labels: torch.Tensor, per_class: int) -> list[list[int]]:
    """Which images a picture shows, a row a class."""
    labels = labels.cpu()
    classes = torch.unique(labels)[:MAX_ROWS]
    return [torch.nonzero(labels == class_).flatten()[:per_class].tolist() for class_ in classes]


def _shown(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor([index for row in rows for index in row])


def _grid(tiles: np.ndarray, rows: list[list[int]]) -> np.ndarray:
    """Tiles (height, width, 3) on white, those of one row after those of the other."""
    down, across = tiles.shape[1] + GAP, tiles.shape[2] + GAP
    shape = (len(rows) * down + GAP, max(map(len, rows)) * across + GAP, 3)
    grid = np.full(shape, 255, dtype=np.uint8)
    left_to_show = iter(tiles)
    for row, members in enumerate(rows):
        for column in range(len(members)):
            top, left = row * down + GAP, column * across + GAP
            grid[top : top + down - GAP, left : left + across - GAP] = next(left_to_show)
    return grid
