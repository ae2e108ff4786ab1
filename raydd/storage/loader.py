"""Batches of images that lie in memory, for training loops of others: a DataLoader that takes them out at once."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from raydd.seeding import generator

Batch = tuple[torch.Tensor, torch.Tensor]


class Images(Dataset[Batch]):
    """Images and labels, one by one or, as DataLoader asks for them, many at once.

    Args:
        images: shape (N, C, H, W).
        labels: shape (N, ...), on the same device.
    """

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Batch:
        return self.images[index], self.labels[index]

    def __getitems__(self, indices: list[int]) -> Batch:
        chosen = torch.tensor(indices, device=self.images.device)
        return self.images[chosen], self.labels[chosen]


def _whole(batch: Any) -> Any:
    return batch


def batches(
    images: torch.Tensor, labels: torch.Tensor, batch_size: int, shuffle: bool, seed: int, drop_last: bool
) -> DataLoader[Any]:
    """A DataLoader over `images` and `labels`; see `DistilledSet.loader`."""
    return DataLoader(
        Images(images, labels),
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=drop_last,
        collate_fn=_whole,
        generator=generator(seed, "loader"),
    )
