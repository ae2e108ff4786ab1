"""Figures of the searched space: importance and parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from raydd import wording
from raydd.report.page import importance as importances
from raydd.report.page.figure import (
    BINS,
    BLUE,
    ESTIMATE,
    FAINT,
    INK,
    MUTED,
    Figure,
    axis,
    hundred,
    line,
)
from raydd.report.page.importance import Importance
from raydd.report.page.markup import text
from raydd.report.page.scales import CHOICES, Scale, scales

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts, TrialFacts

UNUSED = -0.14  # where parallel coordinates cross the axis of a hyperparameter that a trial does not have


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
