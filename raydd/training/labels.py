"""Labels that a teacher gives to batches after they were augmented and mixed: as they come, or recorded before."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from raydd.devices import Compute
from raydd.errors import ConfigError, unknown
from raydd.nets import Network, Passes
from raydd.training.batches import batch_size, batches
from raydd.training.recipe import Recipe, check_temperature
from raydd.training.sources import Source

MODES = ("eval", "train")
"""How a teacher labels batches: as it was trained, or by the statistics of each batch."""


def check_mode(mode: str, field: str = "teacher_mode") -> str:
    """The mode as it is.

    Args:
        mode: of a teacher that labels batches.
        field: what it is called where it was given.

    Raises:
        ConfigError: it is none of `MODES`.
    """
    if mode not in MODES:
        raise ConfigError(f"{field}: {unknown('mode', mode, MODES)}")
    return mode


class Labels(ABC):
    """What takes the place of a training's targets.

    Attributes:
        random: whether labelling draws from torch's global state, as dropout does.
    """

    random: bool = False

    def check(self, source: Source, recipe: Recipe, seed: int, purpose: str) -> None:  # noqa: B027
        """Refuse a training that these labels are not for; here, where they read the images, none is.

        Args:
            source, recipe, seed, purpose: those of `fit`.

        Raises:
            ConfigError: the labels belong to other batches.
        """

    @abstractmethod
    def __call__(self, images: Tensor, epoch: int, number: int) -> Tensor:
        """Probabilities (n, classes) with dtype and device of `images`, without a graph.

        Args:
            images: normalised, augmented and mixed, (n, C, S, S).
            epoch, number: 0-based numbers of the epoch, and of the batch in it.
        """


class TeacherLabels(Labels):
    """softmax(teacher(images) / T), computed as the batches come.

    Args:
        net: the teacher; moved to the device. In mode `train` it is copied, as labelling changes it.
        compute: where and how; `mixed` and `bf16` label in bfloat16.
        temperature: T, see `Recipe`.
        mode: `eval`: an image's label does not depend on the others. `train`: batch norm takes the statistics of the
            mixed batch and its running ones drift, as in the CIFAR scripts of SRe2L and DWA, which never call eval().
        batch: the usual number of images of a call, >= 1.
        size: side of the images in pixels.

    Raises:
        ConfigError: no such mode, or the temperature is not in `raydd.training.recipe.TEMPERATURES`.
    """

    def __init__(
        self,
        net: Network,
        compute: Compute,
        temperature: float,
        *,
        mode: str = "eval",
        batch: int,
        size: int,
    ) -> None:
        training = check_mode(mode) == "train"
        self.temperature = check_temperature(temperature)
        self.passes = Passes(compute, image_gradient=False, batch=batch, size=size)
        self.net = self.passes.place(copy.deepcopy(net) if training else net).train(training)
        self.random = training and net.random

    @torch.no_grad()
    def __call__(self, images: Tensor, epoch: int, number: int) -> Tensor:
        """See `Labels`."""
        return torch.softmax(self.passes.logits(self.net, images) / self.temperature, dim=1)


class ReplayedLabels(Labels):
    """softmax(logits / T) of logits that `replay_logits` recorded.

    The batches of an epoch are asked for in their order, from the first on.

    Args:
        logits: float16 (E, N, classes), row by row as the images of an epoch came; on any device.
        temperature: T, see `Recipe`.
        recipe, seed, purpose: what `replay_logits` was given, as far as it is known: a training with another one is
            refused. Of the recipe batch size, augmentation and mixing count.

    Raises:
        ConfigError: the temperature is not in `raydd.training.recipe.TEMPERATURES`.
    """

    def __init__(
        self,
        logits: Tensor,
        temperature: float,
        *,
        recipe: Recipe | None = None,
        seed: int | None = None,
        purpose: str | None = None,
    ) -> None:
        self.logits, self.temperature = logits, check_temperature(temperature)
        self.recipe, self.seed, self.purpose = recipe, seed, purpose
        self._next = 0

    def check(self, source: Source, recipe: Recipe, seed: int, purpose: str) -> None:
        """See `Labels`."""
        epochs, images, classes = self.logits.shape
        if recipe.epochs > epochs:
            raise ConfigError(f"epochs: labels were stored for {epochs} epochs, got {recipe.epochs}")
        wanted: dict[str, tuple[object, object]] = {
            "images": (images, len(source)),
            "classes": (classes, source.classes),
        }
        if self.recipe is not None:
            wanted["batch"] = batch_size(source, self.recipe), batch_size(source, recipe)
            for name in ("augmentation", "cutmix", "mixup"):
                wanted[name] = getattr(self.recipe, name), getattr(recipe, name)
        if self.seed is not None:
            wanted["seed"] = self.seed, seed
        if self.purpose is not None:
            wanted["purpose"] = self.purpose, purpose
        for name, (stored, given) in wanted.items():
            if stored != given:
                raise ConfigError(
                    f"{name}: the stored labels belong to batches with {stored!r}, got {given!r}"
                )

    def __call__(self, images: Tensor, epoch: int, number: int) -> Tensor:
        """See `Labels`.

        Raises:
            ConfigError: more epochs or images are asked for than were stored.
        """
        first = 0 if number == 0 else self._next
        self._next = first + len(images)
        if epoch >= self.logits.shape[0] or self._next > self.logits.shape[1]:
            stored = "{} epochs of {} images".format(*self.logits.shape[:2])
            raise ConfigError(
                f"labels: {stored} were stored, and image {self._next} of epoch {epoch + 1} is asked for"
            )
        logits = self.logits[epoch, first : self._next].to(images.device, images.dtype)
        return torch.softmax(logits / self.temperature, dim=1)


@torch.no_grad()
def replay_logits(
    net: Network, source: Source, recipe: Recipe, compute: Compute, *, seed: int, purpose: str, epochs: int
) -> Tensor:
    """The teacher's logits of every batch that `fit` with this source, recipe, seed and purpose sees.

    No crop or box is stored: the streams of (seed, purpose) draw them again.

    Args:
        net: the teacher; moved to the device, left there in eval mode.
        source, recipe, compute, seed, purpose: see `fit`.
        epochs: E of the recording, >= 1; the recipe's own number plays no part.

    Returns:
        float16 (E, N, classes) on the CPU; rows in the order in which the images of an epoch come.

    Raises:
        ConfigError: `epochs` is below 1.
    """
    if epochs < 1:
        raise ConfigError(f"epochs: must be at least 1, got {epochs}")
    passes = Passes(compute, image_gradient=False, batch=batch_size(source, recipe), size=source.size)
    passes.place(net).eval()
    recorded = torch.empty(epochs, len(source), source.classes, dtype=torch.float16)
    for epoch in range(epochs):
        first = 0
        for images, _ in batches(source, recipe, seed, purpose, epoch, labelled=True):
            recorded[epoch, first : first + len(images)] = passes.logits(net, images).half().cpu()
            first += len(images)
    return recorded
