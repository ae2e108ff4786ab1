"""Figures of the searched space: importance, parallel coordinates, slices and contours."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from raydd import wording
from raydd.report.page import importance as importances
from raydd.report.page import svg
from raydd.report.page.figure import (
    BINS,
    BLUE,
    ESTIMATE,
    FAINT,
    INK,
    MUTED,
    SCALE,
    VAL,
    Figure,
    Group,
    axis,
    hundred,
    line,
    points,
)
from raydd.report.page.importance import Importance
from raydd.report.page.markup import Markup, text
from raydd.report.page.scales import CHOICES, Scale, round_steps, scales
from raydd.report.page.surface import CELLS, surface

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts, TrialFacts

UNUSED = -0.14  # where parallel coordinates cross the axis of a hyperparameter that a trial does not have
UNSET = -0.24  # the same in a slice
PAIRS = 3  # contours
FEWEST = 6  # complete trials with both hyperparameters, without which there is no contour


def space_scales(facts: StudyFacts) -> dict[str, Scale]:
    """An axis for every hyperparameter that some trial has."""
    return scales([trial.record.hyperparameters for trial in facts.trials], facts.distributions)


def conditional(facts: StudyFacts) -> list[str]:
    """Hyperparameters that only some trials have."""
    count = len(facts.trials)
    return [
        name
        for name in space_scales(facts)
        if sum(name in trial.record.hyperparameters for trial in facts.trials) < count
    ]


def by_importance(facts: StudyFacts, found: Sequence[Importance]) -> list[str]:
    """Names of all hyperparameters, the most important first; those that the search draws by another name last."""
    names = list(space_scales(facts))
    order = [one.name for one in found if one.name in names]
    return [*order, *(name for name in names if name not in order)]


def importance(facts: StudyFacts, found: Sequence[Importance]) -> Figure | None:
    """A bar for every hyperparameter, with what resamples of the trials make of it."""
    if not found:
        return None
    n = len(facts.complete)
    rising = list(reversed(found))
    part = [one for one in rising if one.trials < n]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "y": [text(one.name) for one in rising],
            "x": [hundred(one.share) for one in rising],
            "marker": {"color": BLUE},
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [hundred(one.high - one.share) for one in rising],
                "arrayminus": [hundred(one.share - one.low) for one in rising],
                "color": INK,
                "thickness": 1.5,
                "width": 4,
            },
            "hovertext": [_told(one) for one in rising],
            "hoverinfo": "text",
        }
    ]
    only = ", ".join(f"{one.name} ({one.trials})" for one in reversed(part))
    few = f" {n} trials are too few to trust the order." if n < importances.MANY else ""
    return Figure(
        "importance",
        "Which hyperparameters mattered",
        data,
        {
            "xaxis": axis("importance (%)", rangemode="tozero"),
            "yaxis": axis(type="category", automargin=True),
            "showlegend": False,
        },
        f"Optuna's importance (PED-ANOVA) over the {n} complete trials; the bars add up to 100 %, and the lines span "
        f"what resamples of the same trials give.{few} It says what set the best trials apart in this search's ranges "
        "and at this budget, not which value is best; trials that were stopped early are not in it."
        + (f" Measured only among the trials that have it: {only}." if only else ""),
        height=90 + 34 * len(found),
    )


def _told(one: Importance) -> str:
    spread = f"resamples {wording.share(one.low)} to {wording.share(one.high)}"
    return f"{text(one.name)}: {wording.share(one.share)} ({spread}), {one.trials} trials"


def parallel(facts: StudyFacts, order: Sequence[str]) -> Figure | None:
    """A line for every trial across the axes of its hyperparameters, coloured by its accuracy."""
    axes = space_scales(facts)
    complete = facts.complete
    if not axes or not facts.trials:
        return None
    columns = len(order)
    accuracies = [one.record.val_accuracy or 0.0 for one in complete]
    end = Scale("accuracy", "linear", 100 * min(accuracies, default=0.0), 100 * max(accuracies, default=1.0))

    def path(trial: TrialFacts) -> list[float]:
        own = trial.record.hyperparameters
        places = [axes[name].place(own[name]) if name in own else None for name in order]
        found = [UNUSED if place is None else place for place in places]
        if trial.rank is None:
            return [round(place, 4) for place in found]
        last = end.place(100 * (trial.record.val_accuracy or 0.0))
        return [round(place, 4) for place in [*found, last or 0.0]]

    groups: list[tuple[str, str, float, list[TrialFacts]]] = []
    others = [trial for trial in facts.trials if trial.rank is None]
    if others:
        groups.append(("not complete", FAINT, 1.0, others))
    worst_first = list(reversed(complete))
    for colour, part in zip(BINS, np.array_split(np.arange(len(worst_first)), len(BINS))):
        those = [worst_first[index] for index in part]
        if those:
            low, high = those[0].record.val_accuracy, those[-1].record.val_accuracy
            span = " to ".join(dict.fromkeys((wording.percent(low), wording.percent(high))))
            groups.append((f"{span} %", colour, 1.4, those))
    if facts.winner is not None:
        chosen = [trial for trial in complete if trial.number == facts.winner]
        groups.append(("winner" if facts.report else "best", INK, 3.5, chosen))
    data = []
    for name, colour, width, those in groups:
        x: list[float | None] = []
        y: list[float | None] = []
        numbers: list[int | None] = []
        for trial in those:
            places = path(trial)
            x += [*range(len(places)), None]
            y += [*places, None]
            numbers += [*([trial.number] * len(places)), None]
        data.append(line(name, x, y, colour, line={"width": width}, trials=numbers))
    shown = [*(axes[name] for name in order), *([end] if complete else [])]
    shapes = [
        {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": {"color": MUTED, "width": 1}}
        for at in range(len(shown))
    ]
    notes = []
    for at, scale in enumerate(shown):
        for place, label in scale.ticks(4)[:CHOICES]:
            tick = {"x": at, "y": place, "xanchor": "right", "xshift": -4, "font": {"size": 10, "color": INK}}
            notes.append(
                {**tick, "text": text(label), "showarrow": False, "bgcolor": "@veil", "borderpad": 1}
            )
    missing = conditional(facts)
    if missing:
        notes.append(
            {
                "x": -0.2,
                "y": UNUSED,
                "xanchor": "right",
                "text": "not used",
                "showarrow": False,
                "font": {"size": 10, "color": MUTED},
            }
        )
    return Figure(
        "parallel",
        "Parallel coordinates",
        data,
        {
            "xaxis": {
                "tickvals": list(range(len(shown))),
                "ticktext": [text(name) for name in order] + (["accuracy (%)"] if complete else []),
                "range": [-0.75, len(shown) - 0.7],
                "showgrid": False,
                "side": "top",
                "fixedrange": True,
            },
            "yaxis": {"visible": False, "range": [-0.2 if missing else -0.06, 1.06], "fixedrange": True},
            "shapes": shapes,
            "annotations": notes,
            "legend": {"y": -0.02, "yanchor": "top"},
            "margin": {"l": 30, "r": 20, "t": 40, "b": 10},
        },
        "Every line is a trial, the complete ones in sixths from bad to good; a click in the legend "
        "hides a group, and the mouse tells the trial. Axes are in the order of importance"
        + (
            f". Trials without a hyperparameter that only some have ({', '.join(missing)}) pass below its axis"
            if missing
            else ""
        )
        + f". {ESTIMATE}",
        height=430,
        width=max(560, 108 * (columns + 1)),
    )


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
