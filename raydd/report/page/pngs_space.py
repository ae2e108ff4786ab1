"""PNGs of the searched space: see `figures_space` and `figures_slices`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raydd.report.page import figures_slices, figures_space
from raydd.report.page.png_style import (
    BLUE,
    GREY,
    VAL,
    WIDTH,
    drawing,
    finished,
    percent,
    placed,
    scatter,
    ticks,
)
from raydd.report.page.surface import CELLS, surface

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts
    from raydd.report.page.importance import Importance


def importance(found: list[Importance]) -> bytes | None:
    """See `figures_space.importance`."""
    if not found:
        return None
    rising = list(reversed(found))
    with drawing(height=0.7 + 0.28 * len(rising)) as (figure, (axes,)):
        errors = [
            [100 * (one.share - one.low) for one in rising],
            [100 * (one.high - one.share) for one in rising],
        ]
        axes.barh(
            [one.name for one in rising],
            [100 * one.share for one in rising],
            xerr=errors,
            color=BLUE,
            error_kw={"elinewidth": 0.9, "capsize": 2},
        )
        axes.set_xlim(left=0)
        axes.set(xlabel="importance (%)")
        axes.grid(axis="y", visible=False)
        return finished(figure)


def slices(facts: StudyFacts, order: Sequence[str]) -> bytes | None:
    """See `figures_slices.slices`."""
    scales = figures_space.space_scales(facts)
    known = [trial for trial in facts.trials if trial.record.val_accuracy is not None]
    if not scales or not known:
        return None
    columns = min(3, len(order))
    rows = -(-len(order) // columns)
    with drawing(columns, rows, width=max(WIDTH, 2.4 * columns), height=2.0 * rows) as (figure, axes):
        for place, name in zip(axes, order):
            having = [trial for trial in known if name in trial.record.hyperparameters]
            scale = scales[name]
            scatter(place, having, functools.partial(placed, scale, name=name), small=True)
            ticks(place, scale)
            place.set(title=name + (" (log)" if scale.kind == "log" else ""))
            if len(having) < len(known):
                note = f"{len(known) - len(having)} trials without"
                place.text(0.98, 0.03, note, transform=place.transAxes, ha="right", fontsize=7, color=GREY)
        for place in axes[len(order) :]:
            place.set_visible(False)
        figure.supylabel(VAL, fontsize=9)
        return finished(figure)


def contours(facts: StudyFacts, order: Sequence[str]) -> bytes | None:
    """See `figures_slices.contours`."""
    import numpy as np

    pairs = figures_slices.pairs(facts, order)
    if not pairs:
        return None
    scales = figures_space.space_scales(facts)
    with drawing(len(pairs), width=3.2 * len(pairs), height=2.6) as (figure, axes):
        for place, (a, b) in zip(axes, pairs):
            trials = figures_slices.with_both(facts, a, b)
            x = [placed(scales[a], trial, a) for trial in trials]
            y = [placed(scales[b], trial, b) for trial in trials]
            z = [percent(trial) for trial in trials]
            grid = np.linspace(0, 1, CELLS)
            found = place.contourf(
                grid, grid, np.ma.masked_invalid(surface(x, y, z)), levels=10, cmap="viridis"
            )
            place.scatter(x, y, c=z, cmap="viridis", edgecolors="black", linewidths=0.6, s=16, zorder=3)
            figure.colorbar(found, ax=place, label=VAL, shrink=0.9)
            ticks(place, scales[a])
            labels = scales[b].ticks(5)
            place.set_yticks([at for at, _ in labels], [label for _, label in labels])
            place.set(xlabel=a, ylabel=b, ylim=(-0.04, 1.04))
            place.grid(visible=False)
        return finished(figure)
