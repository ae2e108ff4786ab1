"""Published settings, and which of them a study on other data or another IPC carries over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raydd.registry import Context

Scalar = bool | int | float | str

TITLES = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "fashionmnist": "FashionMNIST",
    "imagenet": "ImageNet-1K",
    "imagenet10": "ImageNet-10",
    "imagenet100": "ImageNet-100",
    "mnist": "MNIST",
    "svhn": "SVHN",
    "tinyimagenet": "TinyImageNet",
}
FALLBACK = "cifar10"  # nearly every method of this field has published a setting for it


@dataclass(frozen=True)
class Published:
    """One setting as its authors give it.

    Attributes:
        dataset: catalog name.
        ipcs: images per class it was given for.
        values: searched hyperparameters by name.
        source: where it stands.
        setup: what the authors set besides for this dataset and IPC and nobody searches, such as the real batch.
    """

    dataset: str
    ipcs: tuple[int, ...]
    values: Mapping[str, Scalar]
    source: str
    setup: Mapping[str, Scalar] = field(default_factory=dict)


def points(table: Sequence[Published], context: Context) -> list[dict[str, Scalar]]:
    """Settings for exactly this dataset and IPC, in the table's order: best known first."""
    return [
        dict(entry.values)
        for entry in table
        if entry.dataset == context.dataset and context.ipc in entry.ipcs
    ]


def lookup(
    table: Sequence[Published], context: Context, fallback: str = FALLBACK
) -> tuple[dict[str, Scalar], str]:
    """Values of the setting that trial 0 uses, and what to call it in tables.

    The setting for (dataset, IPC); else for the nearest IPC (by ratio) of that dataset; else that of `fallback`,
    CIFAR-10 unless a method has none for it, for its nearest IPC. `context.fixed` replaces values, and the name
    says so where it does.
    """
    own = [entry for entry in table if entry.dataset == context.dataset]
    candidates = own or [entry for entry in table if entry.dataset == fallback]
    distance, chosen = min(
        ((abs(math.log(context.ipc / ipc)), entry) for entry in candidates for ipc in entry.ipcs),
        key=lambda pair: pair[0],
    )
    if own and distance == 0.0:
        label = "published setting"
    else:
        label = f"{TITLES.get(chosen.dataset, chosen.dataset)}'s published setting, carried over"
    found = {**chosen.values, **chosen.setup}
    changed = {
        name: context.fixed[name]
        for name, value in found.items()
        if name in context.fixed and context.fixed[name] != value
    }
    if changed:
        label += f", with {', '.join(f'{name}={value}' for name, value in changed.items())}"
    return {**found, **changed}, label
