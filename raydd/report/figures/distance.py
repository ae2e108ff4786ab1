"""How diverse the images of a class are under a fixed network, beside real ones: DWA's normalised feature distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raydd import measures
from raydd.errors import StudyError
from raydd.evaluation import statistics
from raydd.report.figures import style
from raydd.report.figures.captions import about, methods
from raydd.report.figures.choice import Choice
from raydd.report.figures.features import DISTILLED, RANDOM, Features, features
from raydd.tuning.studies import Study


@dataclass(frozen=True)
class Distance:
    """Normalised feature distance of one kind of set.

    Attributes:
        by_class: mean over runs, (classes,).
        mean, low, high: over runs, each the mean over classes, with the 95 % t-interval.
        n: runs.
    """

    by_class: np.ndarray
    mean: float
    low: float
    high: float
    n: int


def distances(found: Features) -> dict[str, Distance]:
    """`raydd.measures.feature_distance` of every set, class by class.

    Raises:
        StudyError: a class has one image.
    """
    classes = range(len(found.class_names))
    real = [found.real[found.real_labels == class_] for class_ in classes]
    result = {}
    for name, runs in found.sets.items():
        if any(int((labels == 0).sum()) < 2 for _, labels in runs):
            raise StudyError(
                "a feature distance needs two images of a class, and these sets have one; it takes studies of IPC 2 "
                "and more"
            )
        table = np.array(
            [
                [measures.feature_distance(one[labels == class_], real[class_]) for class_ in classes]
                for one, labels in runs
            ]
        )
        over = statistics.interval(table.mean(axis=1).tolist())
        result[name] = Distance(table.mean(axis=0), over.mean, over.low, over.high, over.n)
    return result


def draw_distance(studies: Sequence[Study], choice: Choice) -> Any:
    """How diverse the images of each class are, beside real ones."""
    return draw_distances(studies, features(studies, ("random", *DISTILLED), choice))


def draw_distances(studies: Sequence[Study], found: Features) -> Any:
    """A marker for every set and class, random real images first and in grey."""
    shown = dict(sorted(distances(found).items(), key=lambda pair: not pair[0].startswith(RANDOM)))
    real = sum(name.startswith(RANDOM) for name in shown)
    colours = [*[style.GREY] * real, *style.colours(len(shown))]
    few = len(shown) < 4  # what has studies' names in it too takes a line a set
    with style.styled() as pyplot:
        figure, (axis,) = style.panels(pyplot, width=5.4, height=3.4 if few else 3.2 + 0.17 * len(shown))
        classes = np.arange(len(found.class_names))
        shifts = np.linspace(-0.22, 0.22, len(shown)) if len(shown) > 1 else np.zeros(1)
        for shift, (name, one), colour, marker in zip(
            shifts, shown.items(), colours, style.MARKERS * len(shown)
        ):
            bounds = f" [{one.low:.2f}, {one.high:.2f}]" if math.isfinite(one.low) else ""
            axis.plot(
                classes + shift,
                one.by_class,
                marker,
                color=colour,
                markersize=5,
                label=f"{name}: {one.mean:.2f}{bounds}",
            )
        axis.axhline(1.0, color="black", linewidth=0.8, linestyle="--")
        axis.annotate(
            "real\nimages",
            (1.01, 1.0),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7.5,
        )
        for edge in classes[1:] - 0.5:
            axis.axvline(edge, color="#eeeeee", linewidth=0.8)
        names = [name if len(name) < 9 else f"{name[:8]}." for name in found.class_names]
        axis.set_xticks(classes, names if len(names) <= 20 else [""] * len(names))
        axis.set_xlabel("class")
        axis.set_ylabel("normalised feature distance")
        axis.legend(
            loc="lower left",
            bbox_to_anchor=(-0.04, 1.0),
            ncols=len(shown) if few else 1,
            columnspacing=0.9,
            handletextpad=0.1,
            fontsize=7.5,
        )
        runs = max(one.n for one in shown.values())
        style.caption(
            figure,
            f"{methods(studies)}: diversity within classes",
            f"{about(studies)}; mean pairwise distance of a class's images under {found.network}, over that of real "
            f"ones; legend: mean over classes [95 % interval], n = {runs} distillations.",
        )
    return figure
