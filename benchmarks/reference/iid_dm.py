"""One iteration of distribution matching, and of IID on it, class by class as the authors' scripts go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.reference.nets import ConvNet, ResNet18, copy_weights

Augment = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Draws:
    """The random numbers of one iteration.

    Attributes:
        weights: parameters of the matching network, in its order.
        orders: for each class the generator that its real images are permuted with.
        augments: for each class its augmentation, the same for real and synthetic images.
        extractor: file of the feature extractor's weights; not read where there is no centralisation.
    """

    weights: Sequence[Tensor]
    orders: Sequence[torch.Generator]
    augments: Sequence[Augment]
    extractor: Path | None = None


@dataclass(frozen=True)
class Numbers:
    """Settings of the loop; without `lambda_cc` and `lambda_cm` it is plain distribution matching."""

    ipc: int
    batch_real: int
    width: int = 128
    extractor_width: int = 64
    lr_img: float = 1.0
    momentum: float = 0.5
    lambda_cc: float | None = None
    lambda_cm: float | None = None


class MatchingLoop:
    """Images of all classes and their optimiser.

    Args:
        images_all: all training images, float32, normalised, (N, C, S, S).
        labels_all: their classes, (N,).
        classes: how many there are.
        initial: synthetic images to begin with, class-major, (classes * ipc, C, S, S).
        numbers: settings.
    """

    def __init__(
        self, images_all: Tensor, labels_all: Tensor, classes: int, initial: Tensor, numbers: Numbers
    ) -> None:
        self.images_all = images_all
        self.indices_class = [torch.nonzero(labels_all == c).flatten() for c in range(classes)]
        self.classes = classes
        self.numbers = numbers
        self.image_syn = initial.clone().requires_grad_(True)
        self.optimizer = torch.optim.SGD([self.image_syn], lr=numbers.lr_img, momentum=numbers.momentum)

    def iterate(self, draws: Draws) -> dict[str, float]:
        """One iteration: loss terms before their weights, and `total`."""
        numbers = self.numbers
        channels, size = self.image_syn.shape[1:3]

        net = ConvNet(channels, size, self.classes, numbers.width)
        copy_weights(draws.weights, net)
        net.train()
        for parameter in net.parameters():
            parameter.requires_grad = False

        extractor = None
        if numbers.lambda_cc is not None:
            assert draws.extractor is not None
            extractor = ResNet18(channels, self.classes, numbers.extractor_width)
            extractor.load_state_dict(torch.load(draws.extractor, map_location="cpu"))
            extractor.eval()
            for parameter in extractor.parameters():
                parameter.requires_grad = False

        zero = torch.tensor(0.0)
        loss, dm, cm, cc = zero, zero, zero, zero
        for c in range(self.classes):
            img_real = self.get_images(c, numbers.batch_real, draws.orders[c])
            img_syn = self.image_syn[c * numbers.ipc : (c + 1) * numbers.ipc]
            img_real = draws.augments[c](img_real)
            img_syn = draws.augments[c](img_syn)

            map_real = net.local(img_real).detach()
            map_syn = net.local(img_syn)
            mean_real = torch.mean(map_real.flatten(1), dim=0)
            mean_syn = torch.mean(map_syn.flatten(1), dim=0)
            loss_dm = torch.sum((mean_real - mean_syn) ** 2)
            loss, dm = loss + loss_dm, dm + loss_dm

            if numbers.lambda_cm is not None:
                loss_cm = torch.sum((covariance(map_real) - covariance(map_syn)) ** 2)
                loss, cm = loss + numbers.lambda_cm * loss_cm, cm + loss_cm

            if extractor is not None and numbers.lambda_cc is not None:
                feature = extractor.embed(img_syn)
                loss_cc = torch.sum((feature - torch.mean(feature, dim=0)) ** 2)
                loss, cc = loss + numbers.lambda_cc * loss_cc, cc + loss_cc

        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        terms = {"dm": dm.item(), "total": loss.item()}
        if numbers.lambda_cm is not None:
            terms["cm"] = cm.item()
        if numbers.lambda_cc is not None:
            terms["cc"] = cc.item()
        return terms

    def get_images(self, c: int, n: int, order: torch.Generator) -> Tensor:
        """`n` random real images of class `c`."""
        shuffled = self.indices_class[c][torch.randperm(len(self.indices_class[c]), generator=order)[:n]]
        return self.images_all[shuffled]


def covariance(maps: Tensor) -> Tensor:
    """Mean over images of X' X'^T, X' being the map (channels, positions) less the batch's mean map."""
    x = maps.flatten(2)
    x = x - torch.mean(x, dim=0)
    return torch.mean(torch.bmm(x, x.transpose(1, 2)), dim=0)
