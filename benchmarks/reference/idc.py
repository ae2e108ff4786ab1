"""One matching step of IDC, class by class as condense.py goes: gradients of all weights, distance of some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.reference.nets import ConvNet, copy_weights

Augment = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Draws:
    """The random numbers of one matching step.

    Attributes:
        weights: parameters of a new network, in its order; None keeps the one there is.
        orders: for each class the generator that its real images are permuted with.
        augments: for each class its augmentation, the same for real and synthetic images.
    """

    weights: Sequence[Tensor] | None
    orders: Sequence[torch.Generator]
    augments: Sequence[Augment]


@dataclass(frozen=True)
class Numbers:
    """Settings of the loop."""

    ipc: int
    factor: int
    batch_real: int
    lr_img: float  # as argument.py gives it, before it is scaled
    momentum: float = 0.5
    width: int = 128
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)


class GradientLoop:
    """Images of all classes in [0, 1], and their optimiser.

    Classes have few enough views that none is left out, and the network is not trained between steps.

    Args:
        images_all: all training images, float32 in [0, 1], (N, C, S, S).
        labels_all: their classes, (N,).
        classes: how many there are.
        initial: synthetic images to begin with, class-major, (classes * ipc, C, S, S).
        numbers: settings.
    """

    net: ConvNet

    def __init__(
        self, images_all: Tensor, labels_all: Tensor, classes: int, initial: Tensor, numbers: Numbers
    ) -> None:
        self.images_all = images_all
        self.indices_class = [torch.nonzero(labels_all == c).flatten() for c in range(classes)]
        self.classes = classes
        self.numbers = numbers
        self.data = initial.clone().requires_grad_(True)
        lr = numbers.lr_img * (numbers.ipc / 10) * (initial.shape[2] / 32) ** 2
        self.optimizer = torch.optim.SGD([self.data], lr=lr, momentum=numbers.momentum)

    def iterate(self, draws: Draws) -> dict[str, float]:
        """One step of the images for every class: loss terms before their weights, and `total`."""
        self.renew(draws)
        total = 0.0
        for c in range(self.classes):
            img = self.get_images(c, draws.orders[c])
            img_syn = self.sample(c)
            img_aug = draws.augments[c](self.normalise(torch.cat([img, img_syn])))
            n = len(img)
            g_real = [g.detach() for g in gradients(self.net, img_aug[:n], c)[0]]
            g_syn, _ = gradients(self.net, img_aug[n:], c, create_graph=True)
            loss = distance(g_real, g_syn)
            total += loss.item()
            self.step(loss)
        return {"gradient": total, "total": total}

    def renew(self, draws: Draws) -> None:
        """A new network, and pixels in their range."""
        if draws.weights is None:
            return
        channels, size = self.data.shape[1:3]
        self.net = ConvNet(channels, size, self.classes, self.numbers.width)
        copy_weights(draws.weights, self.net)
        self.net.train()
        self.data.data = torch.clamp(self.data.data, min=0.0, max=1.0)

    def sample(self, c: int) -> Tensor:
        """Synthetic images of class `c`, decoded."""
        return decode(self.data[c * self.numbers.ipc : (c + 1) * self.numbers.ipc], self.numbers.factor)

    def step(self, loss: Tensor) -> None:
        """One step of all images."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def normalise(self, images: Tensor) -> Tensor:
        """(x - mean) / std for each channel."""
        mean = torch.tensor(self.numbers.mean).reshape(1, -1, 1, 1)
        std = torch.tensor(self.numbers.std).reshape(1, -1, 1, 1)
        return (images - mean) / std

    def get_images(self, c: int, order: torch.Generator) -> Tensor:
        """Random real images of class `c`."""
        rows = torch.randperm(len(self.indices_class[c]), generator=order)[: self.numbers.batch_real]
        return self.images_all[self.indices_class[c][rows]]


def decode(images: Tensor, factor: int) -> Tensor:
    """factor x factor parts of every image, each enlarged to a whole one; part by part."""
    size = images.shape[2]
    if size % factor != 0:
        pad = factor - size % factor
        images = F.pad(images, (0, pad, 0, pad), value=0.5)
    side = images.shape[2] // factor
    parts = []
    for i in range(factor):
        for j in range(factor):
            part = images[:, :, i * side : (i + 1) * side, j * side : (j + 1) * side]
            parts.append(F.interpolate(part, size=(size, size), mode="bilinear", align_corners=False))
    return torch.cat(parts)


def gradients(
    net: ConvNet, images: Tensor, c: int, create_graph: bool = False
) -> tuple[list[Tensor], Tensor]:
    """Gradients of the cross-entropy of images of class `c` in all weights, and the images' features."""
    labels = torch.full((len(images),), c, dtype=torch.long, device=images.device)
    feature = net.embed(images)
    loss = nn.CrossEntropyLoss()(net.classifier(feature), labels)
    return list(torch.autograd.grad(loss, list(net.parameters()), create_graph=create_graph)), feature


def distance(g_real: Sequence[Tensor], g_syn: Sequence[Tensor]) -> Tensor:
    """Sum of squared differences over the convolutions' weights; biases, norms and the last layer are left out."""
    loss = torch.tensor(0.0, device=g_syn[0].device)
    for real, syn in zip(g_real, g_syn):
        if real.ndim == 4:
            loss = loss + (real - syn).pow(2).sum()
    return loss
