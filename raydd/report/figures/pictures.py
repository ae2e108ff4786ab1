"""Images as a paper shows them: distilled sets along a swept hyperparameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from raydd import wording
from raydd.errors import StudyError
from raydd.report.figures import style
from raydd.report.figures.captions import about, label, methods
from raydd.report.figures.choice import Choice
from raydd.report.figures.settings import alone, settings_of, swept, value_of
from raydd.tuning.studies import Study

if TYPE_CHECKING:
    import torch

    from raydd.storage import DistilledSet

MOST_CLASSES = 10


@dataclass(frozen=True)
class Strip:
    """The set of one setting.

    Attributes:
        value: of the swept hyperparameter.
        images: one a class, (classes, H, W, 3), in [0, 1].
        accuracy: validation accuracy, a fraction, the mean over replicates.
    """

    value: Any
    images: np.ndarray
    accuracy: float


def strips(study: Study, x: str, choice: Choice) -> list[Strip]:
    """The sets along `x`, those of the first replicate.

    Raises:
        StudyError: the study has not swept it, or not by itself, or a set was deleted.
    """
    from raydd.storage import DistilledSet

    settings = settings_of(study, choice)
    values = swept(study, settings, x)
    found = []
    for one in alone(study, settings, {x: values}):
        path = study.trial_folder(one.numbers[0]) / "distilled.safetensors"
        if not path.exists():
            raise StudyError(f"the set of trial {one.numbers[0]} of study {study.name!r} is gone")
        found.append(Strip(value_of(study, one, x), first_of_each_class(DistilledSet.load(path)), one.mean))
    return sorted(found, key=lambda strip: values.index(strip.value))


def first_of_each_class(distilled: DistilledSet) -> np.ndarray:
    """The first stored image of each of the first ten classes: (classes, H, W, 3), in [0, 1]."""
    return colours(distilled.unit_pixels()[first_rows(distilled)])


def first_rows(distilled: DistilledSet) -> list[int]:
    """Where in a set the first image of each of the first ten classes is."""
    shown = range(min(MOST_CLASSES, distilled.classes))
    return [int((distilled.targets == class_).nonzero()[0]) for class_ in shown]


def colours(pixels: torch.Tensor) -> np.ndarray:
    """Pixels (N, 1 or 3, H, W) in [0, 1] as (N, H, W, 3)."""
    if pixels.shape[1] != 3:
        pixels = pixels[:, :1].expand(-1, 3, -1, -1)
    return pixels.permute(0, 2, 3, 1).numpy()


def draw_strips(studies: Sequence[Study], choice: Choice) -> Any:
    """A row of images for each value of a swept hyperparameter."""
    (study,) = choice.one(studies)
    x = choice.needed("x")
    found = strips(study, x, choice)
    with style.styled() as pyplot:
        classes = len(found[0].images)
        figure, axes = pyplot.subplots(
            len(found),
            1,
            figsize=(0.62 * classes + 1.5, 0.62 * len(found) + 1.1),
            squeeze=False,
            layout="constrained",
        )
        for axis, strip in zip(axes[:, 0], found):
            axis.imshow(row_of(strip.images), interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
            axis.set_ylabel(
                f"{label(x)} = {wording.value(strip.value)}", rotation=0, ha="right", va="center", labelpad=8
            )
            axis.yaxis.set_label_coords(-0.015, 0.5)
            axis.text(
                1.01,
                0.5,
                f"{wording.percent(strip.accuracy)} %",
                transform=axis.transAxes,
                va="center",
                fontsize=8.5,
            )
        style.caption(
            figure,
            f"{methods(studies)}: distilled images along {label(x)}",
            f"{about(studies)}; the first image of each class; right: validation accuracy (search estimate).",
        )
    return figure


def row_of(images: np.ndarray, gap: int = 1) -> np.ndarray:
    """Images (N, H, W, 3) side by side on white, enlarged so that the gap is thin: float, (height, width, 3)."""
    scale = max(1, 64 // images.shape[1])
    large = images.repeat(scale, axis=1).repeat(scale, axis=2)
    white = np.ones((large.shape[1], 4 * gap, 3))
    parts = [part for image in large for part in (image, white)][:-1]
    return np.concatenate(parts, axis=1)
