"""One iteration of improved distribution matching, as IDM_cifar10.py goes: match class by class, then train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.reference.nets import ConvNet, copy_weights

Augment = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Draws:
    """The random numbers of one iteration.

    Attributes:
        joining: parameters of the network that joins the queue; None where none does.
        matched: which network of the queue is matched with.
        orders: for each class the generator that its real images are permuted with.
        augments: for each class its augmentation, the same for real and synthetic images.
        trained: which networks of the queue are trained, in turn.
        batches: for each of their steps the generator that all real images are permuted with.
    """

    joining: Sequence[Tensor] | None
    matched: int
    orders: Sequence[torch.Generator]
    augments: Sequence[Augment]
    trained: Sequence[int]
    batches: Sequence[Sequence[torch.Generator]]


@dataclass(frozen=True)
class Numbers:
    """Settings of the loop; images are parted 2 x 2."""

    ipc: int
    batch_real: int
    batch_train: int
    ce_weight: float
    width: int = 128
    lr_img: float = 0.2
    momentum: float = 0.5
    lr_net: float = 0.01


class _Member:
    """A network of the queue, its optimiser and its training accuracy."""

    def __init__(self, net: ConvNet, lr: float) -> None:
        self.net = net
        self.optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=0.0005)
        self.correct, self.seen = 0, 0

    def accuracy(self) -> float:
        """Top-1, in percent."""
        return 100.0 * self.correct / self.seen if self.seen else 0.0


class QueueLoop:
    """Images of all classes, their optimiser and the queue of networks.

    The queue's upper bound and the resetting of its accuracies lie beyond the iterations that are measured.

    Args:
        images_all: all training images, float32, normalised, (N, C, S, S).
        labels_all: their classes, (N,).
        classes: how many there are.
        initial: synthetic images to begin with, class-major, (classes * ipc, C, S, S).
        queue: parameters of each network at the beginning.
        numbers: settings.
    """

    def __init__(
        self,
        images_all: Tensor,
        labels_all: Tensor,
        classes: int,
        initial: Tensor,
        queue: Sequence[Sequence[Tensor]],
        numbers: Numbers,
    ) -> None:
        self.images_all, self.labels_all = images_all, labels_all
        self.indices_class = [torch.nonzero(labels_all == c).flatten() for c in range(classes)]
        self.classes = classes
        self.numbers = numbers
        self.image_syn = initial.clone().requires_grad_(True)
        self.label_syn = torch.arange(classes).repeat_interleave(numbers.ipc)
        self.optimizer = torch.optim.SGD([self.image_syn], lr=numbers.lr_img, momentum=numbers.momentum)
        self.queue: list[_Member] = []
        for weights in queue:
            self.join(weights)

    def join(self, weights: Sequence[Tensor]) -> None:
        """A new network joins the queue."""
        channels, size = self.image_syn.shape[1:3]
        net = ConvNet(channels, size, self.classes, self.numbers.width)
        copy_weights(weights, net)
        net.train()
        self.queue.append(_Member(net, self.numbers.lr_net))

    def iterate(self, draws: Draws) -> dict[str, float]:
        """One iteration: loss terms before their weights, and `total`."""
        if draws.joining is not None:
            self.join(draws.joining)
        terms = self.match(draws)
        for turn, index in enumerate(draws.trained):
            self.train(self.queue[index], draws.batches[turn])
        return terms

    def match(self, draws: Draws) -> dict[str, float]:
        """A step of the images for every class."""
        numbers, ipc = self.numbers, self.numbers.ipc
        member = self.queue[draws.matched]
        net = member.net
        net.eval()
        total, dm, ce = 0.0, 0.0, 0.0
        for c in range(self.classes):
            img_real = self.get_images(c, numbers.batch_real, draws.orders[c])
            img_syn, lab_syn = expand(
                self.image_syn[c * ipc : (c + 1) * ipc], self.label_syn[c * ipc : (c + 1) * ipc]
            )
            img_real = draws.augments[c](img_real)
            img_syn = draws.augments[c](img_syn)

            output_real = net.embed(img_real).detach()
            output_syn = net.embed(img_syn)
            loss_dm = torch.sum((torch.mean(output_real, dim=0) - torch.mean(output_syn, dim=0)) ** 2)
            logits_syn = net(img_syn)
            loss_ce = F.cross_entropy(logits_syn, lab_syn)
            loss_c = loss_dm + loss_ce * member.accuracy() * numbers.ce_weight

            self.optimizer.zero_grad()
            loss_c.backward()
            self.optimizer.step()
            total, dm, ce = total + loss_c.item(), dm + loss_dm.item(), ce + loss_ce.item()
        return {"dm": dm, "ce": ce, "total": total}

    def train(self, member: _Member, batches: Sequence[torch.Generator]) -> None:
        """Some steps of one network on real images."""
        member.net.train()
        for order in batches:
            rows = torch.randperm(len(self.images_all), generator=order)[: self.numbers.batch_train]
            images, labels = self.images_all[rows], self.labels_all[rows]
            logits = member.net(images)
            loss = F.cross_entropy(logits, labels)
            member.optimizer.zero_grad()
            loss.backward()
            member.optimizer.step()
            member.correct += int((logits.detach().argmax(dim=1) == labels).sum().item())
            member.seen += len(labels)

    def get_images(self, c: int, n: int, order: torch.Generator) -> Tensor:
        """`n` random real images of class `c`."""
        shuffled = self.indices_class[c][torch.randperm(len(self.indices_class[c]), generator=order)[:n]]
        return self.images_all[shuffled]


def expand(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The quarters of every image, each enlarged to a whole one, with their labels; quarter by quarter."""
    size = images.shape[2]
    half = size // 2
    quarters = [
        images[:, :, :half, :half],
        images[:, :, half:, :half],
        images[:, :, :half, half:],
        images[:, :, half:, half:],
    ]
    whole = [F.interpolate(q, size=(size, size), mode="bilinear", align_corners=False) for q in quarters]
    return torch.cat(whole), labels.repeat(len(quarters))
