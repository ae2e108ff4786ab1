"""The training loop that assets and evaluations share: one network, or several of a kind side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from raydd import augment
from raydd.devices import Compute
from raydd.nets import Ensemble, Network, Passes
from raydd.seeding import generator
from raydd.training.recipe import Recipe
from raydd.training.sources import Source


def fit(
    net: Network,
    source: Source,
    recipe: Recipe,
    compute: Compute,
    *,
    seed: int,
    purpose: str,
    on_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train `net` in place on `source` by SGD on the mean cross-entropy of a batch.

    The learning rate drops after the epochs of `recipe.decay_epochs`; unless the recipe says otherwise, the
    optimiser is then built anew as DC and DSA do it, so that its momentum starts from zero.

    Args:
        net: moved to the device; left there, in train mode.
        source: images and hard or soft targets, on the device.
        recipe: see `Recipe`.
        compute: where and how; `mixed` and `bf16` run the passes in bfloat16 and keep float32 weights.
        seed: epoch e is ordered by the stream (seed, `purpose`/order, e), its batch b is augmented by
            (seed, `purpose`/augment, e, b), its ops drawn for the batch and their parameters for each sample,
            and then mixed by (seed, `purpose`/cutmix, e, b).
        purpose: names the streams; two trainings with one seed and one purpose draw the same.
        on_epoch: called after every epoch with its 0-based number.
    """
    passes = Passes(compute, image_gradient=False, batch=_batch(source, recipe), size=source.size)
    passes.place(net).train()
    for epoch, optimiser in _epochs(net.parameters(), recipe):
        for images, targets in _batches(source, recipe, seed, purpose, epoch):
            optimiser.zero_grad()
            passes.backward(net, images, targets)
            optimiser.step()
        if on_epoch is not None:
            on_epoch(epoch)


def fit_all(
    nets: Sequence[Network],
    source: Source,
    recipe: Recipe,
    compute: Compute,
    *,
    seed: int,
    purposes: Sequence[str],
    together: int = 1,
) -> None:
    """Train several networks of one kind, each as `fit` does with its purpose.

    Args:
        nets, source, recipe, compute, seed: see `fit`.
        purposes: one for each network.
        together: networks that are trained as one, >= 1. It pays on a GPU, which one small network leaves
            idle; it changes rounding, and compiles nothing.
    """
    if together == 1:
        for net, purpose in zip(nets, purposes):
            fit(net, source, recipe, compute, seed=seed, purpose=purpose)
        return
    for first in range(0, len(nets), together):
        chosen = slice(first, first + together)
        fit_together(nets[chosen], source, recipe, compute, seed=seed, purposes=purposes[chosen])


def fit_together(
    nets: Sequence[Network],
    source: Source,
    recipe: Recipe,
    compute: Compute,
    *,
    seed: int,
    purposes: Sequence[str],
) -> None:
    """Train several networks of one kind as one batched network; see `fit` for what each of them sees."""
    for net in nets:
        net.to(compute.device).train()
    ensemble = Ensemble(nets, compute)
    for epoch, optimiser in _epochs(ensemble.parameters(), recipe):
        streams = [_batches(source, recipe, seed, purpose, epoch) for purpose in purposes]
        for batches in zip(*streams):
            images, targets = (torch.stack(tensors) for tensors in zip(*batches))
            optimiser.zero_grad()
            ensemble.backward(images, targets)
            optimiser.step()
    ensemble.write_back()


def _batch(source: Source, recipe: Recipe) -> int:
    return min(recipe.batch, len(source))


def _epochs(parameters: Iterable[Tensor], recipe: Recipe) -> Iterator[tuple[int, torch.optim.SGD]]:
    """Each epoch's number and optimiser."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]

    def optimiser_at(lr: float) -> torch.optim.SGD:
        return torch.optim.SGD(trained, lr=lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)

    lr = recipe.lr
    optimiser = optimiser_at(lr)
    for epoch in range(recipe.epochs):
        yield epoch, optimiser
        for _ in range(recipe.decay_epochs.count(epoch)):
            lr *= recipe.decay
            if recipe.decay_resets_momentum:
                optimiser = optimiser_at(lr)
            else:
                optimiser.param_groups[0]["lr"] = lr


def _batches(
    source: Source, recipe: Recipe, seed: int, purpose: str, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Augmented and mixed images and targets of an epoch, batch by batch."""
    augmentation = augment.build(recipe.augmentation)
    order = torch.randperm(len(source), generator=generator(seed, f"{purpose}/order", epoch))
    for number, indices in enumerate(order.split(recipe.batch)):
        images, targets = source.batch(indices)
        draw = augmentation.draw(generator(seed, f"{purpose}/augment", epoch, number), len(indices))
        images = augmentation(images, draw)
        mixing = generator(seed, f"{purpose}/cutmix", epoch, number)
        yield augment.cutmix(images, targets, source.classes, recipe.cutmix, mixing)
