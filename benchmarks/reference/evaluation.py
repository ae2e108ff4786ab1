"""Training and testing a network as the reference code's evaluation does: loaders, and numbers one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

Augment = Callable[[int, int, Tensor], Tensor]
"""(epoch, number of the batch, images) to augmented images."""


class Order(Sampler[int]):
    """The order of each epoch, from outside; otherwise what `shuffle=True` does."""

    def __init__(self, orders: Callable[[int], Tensor]) -> None:
        self.orders = orders
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        """Indices of the next epoch."""
        order = self.orders(self.epoch)
        self.epoch += 1
        return iter(order.tolist())


class Pictures(Dataset[tuple[Tensor, int]]):
    """Stored pictures, turned into a normalised tensor whenever one is asked for.

    Args:
        pixels: uint8 (N, S, S, 3) or (N, S, S).
        labels: one a picture.
        mean, std: of each channel.
    """

    def __init__(
        self, pixels: np.ndarray, labels: Sequence[int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        self.pixels, self.labels = pixels, labels
        self.mean, self.std = mean, std

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.pixels[index])
        return normalise(to_tensor(picture), self.mean, self.std), self.labels[index]


def to_tensor(picture: Image.Image) -> Tensor:
    """A picture as a float tensor (C, S, S) in [0, 1]."""
    array = np.array(picture, dtype=np.uint8, copy=True)
    if array.ndim == 2:
        array = array[:, :, None]
    return torch.from_numpy(array).permute(2, 0, 1).contiguous().to(torch.float32).div(255)


def normalise(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(x - mean) / std for each channel."""
    image = image.clone()
    image.sub_(torch.tensor(mean).view(-1, 1, 1))
    return image.div_(torch.tensor(std).view(-1, 1, 1))


def epoch(
    loader: DataLoader[Any],
    net: nn.Module,
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    augment: Callable[[int, Tensor], Tensor] | None = None,
) -> tuple[float, float]:
    """One pass: mean loss and accuracy. Trains if there is an optimiser; else gradients are prepared and not used."""
    loss_sum, correct, seen = 0.0, 0, 0
    if optimizer is not None:
        net.train()
    else:
        net.eval()
    for number, (images, labels) in enumerate(loader):
        img = images.float()
        if augment is not None:
            img = augment(number, img)
        lab = labels.long()
        output = net(img)
        loss = criterion(output, lab)
        hits = np.equal(np.argmax(output.cpu().data.numpy(), axis=-1), lab.cpu().data.numpy())
        loss_sum += loss.item() * len(lab)
        correct += int(np.sum(hits))
        seen += len(lab)
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return loss_sum / seen, correct / seen


def train(
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    last_epoch: int,
    orders: Callable[[int], Tensor],
    augment: Augment,
    batch: int = 256,
) -> tuple[float, float]:
    """Epochs 0 to `last_epoch`; after number last_epoch // 2 + 1 a tenth of the rate. Loss, accuracy of the last."""
    lr = 0.01
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=0.0005)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(images, labels), batch_size=batch, sampler=Order(orders), num_workers=0)
    loss, accuracy = 0.0, 0.0
    for ep in range(last_epoch + 1):

        def augment_batch(number: int, img: Tensor, ep: int = ep) -> Tensor:
            return augment(ep, number, img)

        loss, accuracy = epoch(loader, net, criterion, optimizer, augment_batch)
        if ep == last_epoch // 2 + 1:
            lr *= 0.1
            optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=0.0005)
    return loss, accuracy


def score(net: nn.Module, pictures: Pictures, batch: int = 256) -> tuple[float, float]:
    """Mean loss and accuracy of `net` on all pictures."""
    loader = DataLoader(pictures, batch_size=batch, shuffle=False, num_workers=0)
    return epoch(loader, net, nn.CrossEntropyLoss(), None)
