"""PNGs of what was confirmed, and of several studies: see `figures_result` and `compared_figures`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raydd.report.page import best_of, comparison, figures_result
from raydd.report.page.png_style import (
    BLUE,
    CYCLE,
    DASHES,
    GREEN,
    GREY,
    ORANGE,
    RED,
    TEST,
    drawing,
    finished,
    interval,
    legend,
)

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts


def arms(facts: StudyFacts) -> bytes | None:
    """See `figures_result.arms`."""
    if facts.report is None:
        return None
    rows = list(reversed(figures_result.shown_arms(facts.report)))
    with drawing(height=0.8 + 0.27 * len(rows)) as (figure, (axes,)):
        for place, arm in enumerate(rows):
            colour = GREEN if arm["name"] == "winner" else BLUE
            interval(axes, place, arm["mean"], arm["low"], arm["high"], colour)
            axes.plot(
                [100 * run for run in arm["runs"]], [place] * len(arm["runs"]), "|", color=GREY, markersize=6
            )
        axes.set_yticks(range(len(rows)), [arm["name"] for arm in rows])
        axes.set(xlabel=TEST)
        return finished(figure)


def differences(facts: StudyFacts) -> bytes | None:
    """See `figures_result.differences`."""
    if facts.report is None or not facts.report["differences"]:
        return None
    rows = list(reversed(facts.report["differences"]))
    with drawing(height=0.8 + 0.27 * len(rows)) as (figure, (axes,)):
        for place, row in enumerate(rows):
            colour = (GREEN if row["mean"] > 0 else RED) if row["resolved"] else GREY
            interval(axes, place, row["mean"], row["low"], row["high"], colour, hollow=not row["resolved"])
        axes.axvline(0, color="black", linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(rows)), [figures_result.label(row) for row in rows])
        axes.set(xlabel="difference in points (hollow: not resolved)")
        return finished(figure)


def results(studies: Sequence[StudyFacts]) -> bytes:
    """See `compared_figures.results`."""
    colours = {"winner": GREEN, "default": ORANGE, "base": BLUE, "random": GREY}
    offsets = {"winner": 0.24, "default": 0.08, "base": -0.08, "random": -0.24}
    rows = list(reversed(studies))
    with drawing(height=1.0 + 0.5 * len(rows)) as (figure, (axes,)):
        for place, one in enumerate(rows):
            for arm in figures_result.shown_arms(one.report or {}):
                if arm["name"] in colours:
                    at, colour = place + offsets[arm["name"]], colours[arm["name"]]
                    interval(axes, at, arm["mean"], arm["low"], arm["high"], colour)
        for name, colour in colours.items():
            axes.plot([], [], "o", color=colour, markersize=5, label=name)
        axes.set_yticks(range(len(rows)), [one.name for one in rows])
        axes.set(xlabel=TEST)
        legend(axes)
        return finished(figure)


def cost_curves(studies: Sequence[StudyFacts], unit: str, *, expected: bool) -> bytes | None:
    """See `compared_figures.best_of_n` and `search_curves`."""
    found = [(one, best_of.trial_values(one)) for one in studies]
    if not any(pairs for _, pairs in found):
        return None
    with drawing() as (figure, (axes,)):
        for index, (one, pairs) in enumerate(found):
            if not pairs:
                continue
            look = {
                "color": CYCLE[index % len(CYCLE)],
                "linestyle": DASHES[index // len(CYCLE) % len(DASHES)],
            }
            if expected:
                each = sum(seconds for _, seconds in pairs) / len(pairs)
                x = [comparison.hours(one, each * n, unit) for n in range(1, len(pairs) + 1)]
                y = [100 * value for value in best_of.expected_best([accuracy for accuracy, _ in pairs])]
                axes.plot(x, y, label=one.name, **look)
            else:
                curve = best_of.best_so_far(pairs)
                x = [comparison.hours(one, seconds, unit) for seconds, _ in curve]
                axes.step(x, [100 * best for _, best in curve], where="post", label=one.name, **look)
        axes.set_xlim(left=0)
        label = "expected best of n, validation (%)" if expected else "best validation accuracy so far (%)"
        axes.set(xlabel=unit, ylabel=label)
        legend(axes)
        return finished(figure)
