"""Slices and contours: accuracy against one hyperparameter, and over two."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raydd.report.page import svg
from raydd.report.page.figure import ESTIMATE, FAINT, INK, SCALE, VAL, Figure, Group, axis, hundred, points
from raydd.report.page.figures_space import conditional, space_scales
from raydd.report.page.markup import Markup, text
from raydd.report.page.scales import Scale, round_steps
from raydd.report.page.surface import CELLS, surface

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts, TrialFacts

UNSET = -0.24  # where slices show trials that do not have the hyperparameter
PAIRS = 3  # contours
FEWEST = 6  # complete trials with both hyperparameters, without which there is no contour


def slices(facts: StudyFacts, order: Sequence[str]) -> Group | None:
    """Accuracy against each hyperparameter by itself."""
    axes = space_scales(facts)
    known = [trial for trial in facts.trials if trial.record.val_accuracy is not None]
    if not axes or not known:
        return None
    heights = [100 * (trial.record.val_accuracy or 0.0) for trial in known]
    low, high = min(heights), max(heights)
    room = max(0.06 * (high - low), 0.5)
    y_range = (low - room, high + room)
    plots = [
        (f"{name}{' (log)' * (axes[name].kind == 'log')}", _slice(facts, name, axes[name], known, y_range))
        for name in order
    ]
    return Group(
        "slices",
        "Slices: accuracy against each hyperparameter",
        f"{VAL[0].upper()}{VAL[1:]} against one hyperparameter at a time, all others varying with it; rings are the "
        f"{'winner' if facts.report else 'best trial'} (green) and trial 0 (orange), crosses were stopped early. A "
        "search looks more often where it found good values, so that a crowd is no proof of a peak"
        + (
            "; trials that do not use a hyperparameter stand at the left of its plot"
            if conditional(facts)
            else ""
        )
        + ".",
        plots,
    )


def _slice(
    facts: StudyFacts,
    name: str,
    scale: Scale,
    known: Sequence[TrialFacts],
    y_range: tuple[float, float],
) -> Markup:
    """One hyperparameter."""
    missing = [trial for trial in known if name not in trial.record.hyperparameters]
    marks = [
        svg.Point(UNSET, 100 * (one.record.val_accuracy or 0.0), "unused", one.number) for one in missing
    ]
    special = {0: "default", facts.winner: "winner"}
    for trial in known:
        own = trial.record.hyperparameters
        place = scale.place(own[name]) if name in own else None
        if place is not None:
            height, ring = 100 * (trial.record.val_accuracy or 0.0), special.get(trial.number)
            at = _jittered(scale, place, trial)
            marks.append(svg.Point(at, height, trial.record.outcome, trial.number, ring))
    ticks = scale.ticks(4)
    if missing:
        ticks = [(UNSET, "not used"), *ticks]
    x_range = (UNSET - 0.14 if missing else -0.06, 1.06)
    return svg.scatter(name, marks, ticks, round_steps(*y_range, 4), x_range, y_range)


def _jittered(scale: Scale, place: float, trial: TrialFacts) -> float:
    """Trials of one category side by side, the same at every drawing."""
    if scale.kind != "choice":
        return place
    return place + (trial.number * 0.61803398875 % 1.0 - 0.5) * 0.5 / len(scale.choices)


def pairs(facts: StudyFacts, order: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of the three most important numerical hyperparameters with enough complete trials that have both."""
    axes = space_scales(facts)
    numeric = [name for name in order if axes[name].kind != "choice" and axes[name].low < axes[name].high]
    found = []
    for a, b in itertools.combinations(numeric[:PAIRS], 2):
        if len(with_both(facts, a, b)) >= FEWEST:
            found.append((a, b))
    return found


def with_both(facts: StudyFacts, a: str, b: str) -> list[TrialFacts]:
    """Complete trials that have both hyperparameters."""
    return [one for one in facts.complete if {a, b} <= set(one.record.hyperparameters)]


def contours(facts: StudyFacts, order: Sequence[str]) -> Group | None:
    """Accuracy over pairs of hyperparameters, smoothed."""
    axes = space_scales(facts)
    figures: list[tuple[str, Markup]] = []
    for a, b in pairs(facts, order):
        trials = with_both(facts, a, b)
        x = [axes[a].place(trial.record.hyperparameters[a]) or 0.0 for trial in trials]
        y = [axes[b].place(trial.record.hyperparameters[b]) or 0.0 for trial in trials]
        z = [hundred(trial.record.val_accuracy) or 0.0 for trial in trials]
        grid = [round(place / (CELLS - 1), 4) for place in range(CELLS)]
        low, high = min(z), max(z)
        shared = {"colorscale": SCALE, "zmin": low, "zmax": high if high > low else low + 1}
        data: list[dict[str, Any]] = [
            {
                "type": "contour",
                "x": grid,
                "y": grid,
                "z": [
                    [None if np.isnan(cell) else round(float(cell), 2) for cell in row]
                    for row in surface(x, y, z)
                ],
                **shared,
                "connectgaps": False,
                "line": {"width": 0.5, "color": FAINT},
                "colorbar": {"thickness": 10, "outlinewidth": 0, "ticksuffix": " %"},
                "hoverinfo": "skip",
            },
            points("trials", x, z, "circle", INK) | {"y": y},
        ]
        data[1]["trials"] = [trial.number for trial in trials]
        data[1]["marker"] = {"size": 7, "color": z, "colorscale": SCALE, "cmin": low, "cmax": shared["zmax"]}
        data[1]["marker"]["line"] = {"color": INK, "width": 1}
        layout = {
            "xaxis": _scale_axis(axes[a]),
            "yaxis": _scale_axis(axes[b]),
            "showlegend": False,
            "margin": {"l": 58, "r": 8, "t": 6, "b": 44},
        }
        figure = Figure(f"contour-{len(figures)}", f"{a} and {b}", data, layout, height=330)
        figures.append((figure.title, figure.box()))
    if not figures:
        return None
    return Group(
        "contours",
        "Contours of the most important pairs",
        "Accuracy over two hyperparameters at a time, averaged over the complete trials near (Gaussian kernel, an "
        "eighth of each axis wide) whatever their other hyperparameters; blank where there was no trial. Points are "
        f"the trials. {ESTIMATE}",
        figures,
    )


def _scale_axis(scale: Scale) -> dict[str, Any]:
    ticks = scale.ticks(3)
    return axis(
        text(scale.name) + (" (log)" if scale.kind == "log" else ""),
        tickvals=[place for place, _ in ticks],
        ticktext=[text(label) for _, label in ticks],
        range=[-0.04, 1.04],
        tickangle=0,
        showgrid=False,
    )
