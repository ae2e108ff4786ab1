"""The network that baselines share: trained on all training images, it gives coresets their features."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from raydd.distillation.baselines.coresets import CORESETS
from raydd.nets import Network, Passes
from raydd.registry import AssetSpec

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.devices import Compute

EPOCHS = 30
STEPS = 1_000  # as many as the dsa protocol's 1,000 epochs are on a distilled set of one batch
TRAINING_BATCH = 256
BATCH = 500


def needs_network(name: str | None) -> bool:
    """Whether the baseline called `name` takes a network that was trained on all training images."""
    return name == "full" or name in CORESETS


def feature_network(net: str, data: DataSplits, epochs: int | None = None) -> AssetSpec:
    """The network as an asset: SGD with the evaluation protocols' constants and the dataset's augmentation.

    Args:
        net: network specification, that of the report.
        data: `data.train` is what it is trained on.
        epochs: passes over the training images, >= 1; None is 30, or as many as make 1,000 steps on data that are
            so small that 30 epochs would leave the network unfinished (digits: 200).
    """
    steps = math.ceil(len(data.train) / TRAINING_BATCH)
    recipe = {
        "epochs": epochs or max(EPOCHS, math.ceil(STEPS / steps)),
        "batch": TRAINING_BATCH,
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "augmentation": data.augmentation,
    }
    return AssetSpec("features", net, recipe)


@torch.no_grad()
def select(
    net: Network, data: DataSplits, ipc: int, names: Iterable[str], compute: Compute
) -> dict[str, Tensor]:
    """Coresets of the training images, chosen class by class.

    Args:
        net: gives the features, in eval mode.
        data: only `data.train` is read, a class at a time.
        ipc: images per class, at most as many as every class has.
        names: of `CORESETS`; the features are computed once for all.
        compute: where and how the network runs.

    Returns:
        For each name the rows of `data.train` that were chosen: int64 (classes * ipc,), class-major, in the order
        of choice.
    """
    passes = Passes(compute, image_gradient=False, batch=BATCH, size=data.size)
    passes.place(net)
    chosen: dict[str, list[Tensor]] = {name: [] for name in names}
    for class_ in range(data.classes):
        members = torch.from_numpy(np.flatnonzero(data.train.labels == class_))
        features = torch.cat(
            [
                passes.embed(net, data.normalisation.apply(data.train.take(rows).to(compute.device))).cpu()
                for rows in members.split(BATCH)
            ]
        )
        for name, parts in chosen.items():
            parts.append(members[CORESETS[name](features, ipc)])
    return {name: torch.cat(parts) for name, parts in chosen.items()}
