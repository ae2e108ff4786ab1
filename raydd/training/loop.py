"""The training loop that assets and evaluations share: one network, or several of a kind side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from raydd.devices import Compute
from raydd.nets import Ensemble, Network, Passes
from raydd.seeding import forked_rng
from raydd.training.batches import batch_size, batches
from raydd.training.labels import Labels
from raydd.training.optimisation import epochs
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
    labels: Labels | None = None,
) -> None:
    """Train `net` in place on `source`, on the mean cross-entropy of a batch.

    With soft targets p, the source's or those of `labels`, the loss is CE(logits / T, p), times T^2 if the recipe
    says so; its gradient is that of the Kullback-Leibler divergence from p, summed over classes and averaged over
    the batch. With hard targets, mixed or not, T is 1.

    Where the learning rate drops in steps, the optimiser is then built anew, unless the recipe says otherwise, as DC
    and DSA do it, so that its momentum starts from zero.

    Args:
        net: moved to the device; left there, in train mode.
        source: images and hard or soft targets, on the device.
        recipe: see `Recipe`.
        compute: where and how; `mixed` and `bf16` run the passes in bfloat16 and keep float32 weights.
        seed: epoch e is ordered by the stream (seed, `purpose`/order, e), its batch b is augmented by
            (seed, `purpose`/augment, e, b), its ops drawn for the batch and their parameters for each sample,
            and then mixed by (seed, `purpose`/mixup, e, b) or (seed, `purpose`/cutmix, e, b). A network that draws,
            as dropout does, runs under the global state of (seed, `purpose`).
        purpose: names the streams; two trainings with one seed and one purpose draw the same.
        on_epoch: called after every epoch with its 0-based number.
        labels: give every augmented and mixed batch its targets, instead of the source.

    Raises:
        ConfigError: `labels` belong to other batches.
    """
    if labels is not None:
        labels.check(source, recipe, seed, purpose)
    passes = Passes(compute, image_gradient=False, batch=batch_size(source, recipe), size=source.size)
    passes.place(net).train()
    loss = _loss(source, recipe, labels is not None)
    with _random_state(net, labels, seed, purpose):
        for epoch, optimiser in epochs(net.parameters(), recipe):
            stream = batches(source, recipe, seed, purpose, epoch, labelled=labels is not None)
            for number, (images, targets) in enumerate(stream):
                if labels is not None:
                    targets = labels(images, epoch, number)
                optimiser.zero_grad()
                passes.backward(net, images, targets, **loss)
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
    labels: Callable[[], Labels] | None = None,
) -> None:
    """Train several networks of one kind, each as `fit` does with its purpose.

    Args:
        nets, source, recipe, compute, seed: see `fit`.
        purposes: one for each network.
        together: networks that are trained as one, >= 1, where an `Ensemble` supports their kind; else they are
            trained one after the other. It pays on a GPU, which one small network leaves idle; it changes rounding,
            and compiles nothing.
        labels: makes each network labels of its own; see `fit`.
    """
    if together == 1 or not all(Ensemble.supports(net) for net in nets):
        for net, purpose in zip(nets, purposes):
            own = None if labels is None else labels()
            fit(net, source, recipe, compute, seed=seed, purpose=purpose, labels=own)
        return
    for first in range(0, len(nets), together):
        chosen = slice(first, first + together)
        fit_together(
            nets[chosen], source, recipe, compute, seed=seed, purposes=purposes[chosen], labels=labels
        )


def fit_together(
    nets: Sequence[Network],
    source: Source,
    recipe: Recipe,
    compute: Compute,
    *,
    seed: int,
    purposes: Sequence[str],
    labels: Callable[[], Labels] | None = None,
) -> None:
    """Train several networks of one kind as one batched network; see `fit` for what each of them sees.

    Raises:
        ConfigError: `labels` belong to other batches.
    """
    loss = _loss(source, recipe, labels is not None)
    own = None if labels is None else [labels() for _ in nets]
    for its, purpose in zip(own or [], purposes):
        its.check(source, recipe, seed, purpose)
    for net in nets:
        net.to(compute.device).train()
    ensemble = Ensemble(nets, compute)
    for epoch, optimiser in epochs(ensemble.parameters(), recipe, stacked=True):
        streams = [
            batches(source, recipe, seed, purpose, epoch, labelled=own is not None) for purpose in purposes
        ]
        for number, drawn in enumerate(zip(*streams)):
            pairs = list(drawn)
            if own is not None:
                pairs = [(images, its(images, epoch, number)) for its, (images, _) in zip(own, pairs)]
            images, targets = (torch.stack(tensors) for tensors in zip(*pairs))
            optimiser.zero_grad()
            ensemble.backward(images, targets, **loss)
            optimiser.step()
    ensemble.write_back()


def _loss(source: Source, recipe: Recipe, labelled: bool) -> dict[str, float]:
    """Temperature and scale of the cross-entropy, by name; nothing where both are 1, as with hard targets."""
    if recipe.temperature == 1.0 or not (labelled or source.soft):
        return {}
    scale = recipe.temperature**2 if recipe.temperature_squared else 1.0
    return {"temperature": recipe.temperature, "scale": scale}


def _random_state(
    net: Network, labels: Labels | None, seed: int, purpose: str
) -> AbstractContextManager[None]:
    """Global random state of its own where something draws from it, for dropout has no generator."""
    draws = net.random or (labels is not None and labels.random)
    return forked_rng(seed, purpose) if draws else nullcontext()
