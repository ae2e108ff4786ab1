"""Where a training takes its batches from: tensors on the device, or 8-bit images fetched a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from raydd.data import ImageData
    from raydd.normalisation import Normalisation


class Source(Protocol):
    """Images and targets by index.

    Attributes:
        size: side of the images in pixels.
        classes: number of classes.
        soft: whether the targets are probabilities (n, classes) instead of labels (n,).
    """

    size: int
    classes: int
    soft: bool

    def __len__(self) -> int:
        """Number of images."""

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised float32 images (n, C, H, W) and targets, on the device, for int64 CPU indices (n,)."""


class TensorSource:
    """Images that are already tensors, as a distilled set is.

    Args:
        images: normalised float32 (N, C, H, W), on the device.
        labels: int64 (N,), or soft labels float (N, classes) whose rows sum to 1; same device.
        classes: number of classes; None is that of the soft labels, or the largest label + 1.
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: int | None = None) -> None:
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images and {len(labels)} labels")
        self.images, self.labels = images, labels
        self.size = images.shape[-1]
        self.soft = labels.is_floating_point()
        if classes is None:
            classes = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
        self.classes = classes

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See `Source.batch`."""
        indices = indices.to(self.images.device)
        return self.images.index_select(0, indices), self.labels.index_select(0, indices)


class DataSource:
    """Stored 8-bit images, taken, moved and normalised one batch at a time; the whole is never a float tensor.

    Args:
        data: one split.
        normalisation: applied to every batch.
        device: where batches are wanted.
    """

    soft = False

    def __init__(self, data: ImageData, normalisation: Normalisation, device: torch.device) -> None:
        self.data, self.normalisation, self.device = data, normalisation, device
        self.size, self.classes = data.size, data.classes
        self._labels = torch.as_tensor(data.labels, dtype=torch.int64)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.data)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """See `Source.batch`."""
        pixels = self.data.take(indices).to(self.device)
        return self.normalisation.apply(pixels), self._labels[indices].to(self.device)
