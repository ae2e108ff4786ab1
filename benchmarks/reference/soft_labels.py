"""Training a student on images that a teacher labels batch by batch, as the reference code's validation does."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.reference.evaluation import Order

Augment = Callable[[int, int, Tensor], Tensor]
"""(epoch, number of the batch, images) to augmented images."""
Mix = Callable[[int, int, int], tuple[float, Tensor]]
"""(epoch, number of the batch, its images) to lambda and the partners."""


def train(
    student: nn.Module,
    teacher: nn.Module,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    orders: Callable[[int], Tensor],
    augment: Augment,
    mix: Mix,
    *,
    batch: int = 128,
    temperature: float = 30.0,
) -> float:
    """AdamW with a cosine over the epochs; returns the mean divergence of the last one."""
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.001, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: 0.5 * (1.0 + math.cos(math.pi * done / epochs))
    )
    divergence = nn.KLDivLoss(reduction="batchmean")
    loader = DataLoader(TensorDataset(images, labels), batch_size=batch, sampler=Order(orders), num_workers=0)
    teacher.eval()
    mean = 0.0
    for epoch in range(epochs):
        student.train()
        loss_sum, seen = 0.0, 0
        for number, (inputs, targets) in enumerate(loader):
            inputs = augment(epoch, number, inputs.float())
            share, partner = mix(epoch, number, len(inputs))
            inputs = share * inputs + (1 - share) * inputs[partner]
            with torch.no_grad():
                soft = F.softmax(teacher(inputs) / temperature, dim=1)
            output = student(inputs)
            loss = divergence(F.log_softmax(output / temperature, dim=1), soft)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(targets)
            seen += len(targets)
        scheduler.step()
        mean = loss_sum / seen
    return mean
