"""Accuracy over two swept hyperparameters, with the values in the cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raydd import wording
from raydd.evaluation import statistics
from raydd.evaluation.statistics import Difference
from raydd.report.figures import style
from raydd.report.figures.captions import about, label, methods, replicates
from raydd.report.figures.choice import Choice
from raydd.report.figures.settings import Setting, alone, settings_of, swept, value_of
from raydd.tuning.studies import Study


@dataclass(frozen=True)
class Map:
    """Accuracy over two hyperparameters.

    Attributes:
        x, y: values, ascending.
        mean, half: fractions, (len(y), len(x)); NaN where there is no trial; half-width of the 95 % interval, NaN for
            one replicate.
        n: replicates, (len(y), len(x)).
        gain: what the best cell is better than trial 0's by, over the replicates that both have; None where trial 0 is
            no cell, or is the best, or there is one replicate.
    """

    x: list[Any]
    y: list[Any]
    mean: np.ndarray
    half: np.ndarray
    n: np.ndarray
    gain: Difference | None = None


def heat_map(study: Study, x: str, y: str, choice: Choice) -> Map:
    """The map of a study.

    Raises:
        StudyError: it has not swept one of them, or fewer than two cells have trial 0's other values.
    """
    settings = settings_of(study, choice)
    xs, ys = swept(study, settings, x), swept(study, settings, y)
    shape = (len(ys), len(xs))
    found = Map(xs, ys, np.full(shape, math.nan), np.full(shape, math.nan), np.zeros(shape, dtype=int))
    settings = alone(study, settings, {x: xs, y: ys})
    for setting in settings:
        across, down = value_of(study, setting, x), value_of(study, setting, y)
        place = ys.index(down), xs.index(across)
        found.mean[place] = setting.mean
        found.half[place] = (setting.high - setting.low) / 2
        found.n[place] = len(setting.accuracies)
    return replace(found, gain=gain_of_the_best(settings))


def gain_of_the_best(settings: Sequence[Setting]) -> Difference | None:
    """The best setting's accuracy less trial 0's, in pairs of replicates, whose seeds are the same."""
    default = next((one for one in settings if 0 in one.numbers), None)
    best = max(settings, key=lambda one: one.mean)
    if default is None or best is default:
        return None
    shared = [which for which in best.replicates if which in default.replicates]
    if len(shared) < 2:
        return None
    values = [[one.accuracies[one.replicates.index(which)] for which in shared] for one in (best, default)]
    return statistics.paired(*values)


def draw_heat_map(studies: Sequence[Study], choice: Choice) -> Any:
    """A heat map for each study, with the values in it."""
    x, y = choice.needed("x"), choice.needed("y")
    maps = [heat_map(study, x, y, choice) for study in studies]
    low, high = style.span(np.concatenate([found.mean.flatten() for found in maps]).tolist())
    with style.styled() as pyplot:
        across = sum(max(3, len(found.x)) for found in maps)
        height = 1.6 + 0.5 * max(len(found.y) for found in maps)
        figure, axes = style.panels(pyplot, len(maps), 1.6 + 0.85 * across, max(2.8, height))
        for axis, found, study in zip(axes, maps, studies):
            image = axis.imshow(
                found.mean,
                origin="lower",
                aspect="auto",
                cmap=style.HEAT,
                vmin=low,
                vmax=high,
            )
            for row, column in np.ndindex(found.mean.shape):
                if np.isfinite(found.mean[row, column]):
                    dark = luminance(image.cmap(image.norm(found.mean[row, column]))) < 0.5
                    half = found.half[row, column]
                    text = wording.percent(float(found.mean[row, column]))
                    text += f"\n±{100 * half:.1f}" if np.isfinite(half) else ""
                    colour = "white" if dark else "black"
                    axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
            axis.set_xticks(range(len(found.x)), [wording.value(one) for one in found.x])
            axis.set_yticks(range(len(found.y)), [wording.value(one) for one in found.y])
            axis.set_xlabel(label(x))
            axis.spines[:].set_visible(False)
            axis.tick_params(length=0)
            if len(maps) > 1:
                axis.set_title(study.name)
        axes[0].set_ylabel(label(y))
        bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02)
        style.percent(bar.ax.yaxis)
        bar.outline.set_visible(False)
        bar.set_label("validation accuracy, %")
        counts = np.concatenate([found.n[found.n > 0] for found in maps])
        title = f"{methods(studies)}: accuracy over {label(x)} and {label(y)}"
        said = f"{about(studies)}; {replicates(counts, 'in each cell')}"
        if len(maps) == 1 and maps[0].gain is not None:
            gain = maps[0].gain
            ends = f"[{wording.points(gain.low)}, {wording.points(gain.high)}]"
            said += (
                f". Seeds are the same in all cells: the best one, chosen afterwards, less trial 0's "
                f"{wording.points(gain.mean)} {ends} points in {gain.n} pairs"
            )
        style.caption(figure, title, f"{said}.")
    return figure


def luminance(colour: tuple[float, ...]) -> float:
    """How light a colour (red, green, blue, ...) is, in [0, 1]: what decides between black and white text on it."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]
    )
    return float((0.2126 * red + 0.7152 * green + 0.0722 * blue) ** (1 / 2.4))
