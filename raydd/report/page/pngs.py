"""The main figures as PNGs for papers and slides, drawn with matplotlib."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from raydd.report.page import best_of, comparison, cost, figures_result, figures_search, figures_space, rungs
from raydd.report.page.scales import Scale
from raydd.report.page.surface import CELLS, surface

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydd.report.page.facts import StudyFacts, TrialFacts
    from raydd.report.page.importance import Importance

NAMES = (
    *(
        "differences",
        "arms",
        "history",
        "curves",
        "importance",
        "slices",
        "contours",
        "rungs",
        "correlation",
        "cost",
    ),
    *(
        f"{name}-{labels}"
        for name in ("results", "best-of-n", "search-curves")
        for labels in ("hard", "soft")
    ),
)

# Okabe and Ito's palette, which colour-blind people can tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#e69f00", "#009e73", "#8a939b"
RED, PURPLE, SKY = "#d55e00", "#cc79a7", "#56b4e9"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, "#000000")
DASHES = ("-", "--", ":", "-.")
MARKS = {
    "complete": ("o", BLUE),
    "pruned": ("x", GREY),
    "diverged": ("^", ORANGE),
    "failed": ("+", RED),
    "interrupted": ("s", PURPLE),
    "running": ("D", PURPLE),
}
VAL, TEST = "validation accuracy (%)", "test accuracy (%)"
WIDTH, HEIGHT = (
    4.6,
    3.0,
)  # inches; a column of a paper is about 3.3, so that text is not smaller than 7 points there
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e9ec",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "savefig.dpi": 220,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.08,
}


@contextmanager
def drawing(columns: int = 1, rows: int = 1, width: float = WIDTH, height: float = HEIGHT) -> Iterator[Any]:
    """A figure with axes in the shared style: (figure, axes as a flat list)."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        FigureCanvasAgg(figure)
        yield figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def finished(figure: Any) -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def of_study(facts: StudyFacts, importances: list[Importance]) -> dict[str, bytes]:
    """PNGs by name, of those figures that the study has something for."""
    order = figures_space.by_importance(facts, importances)
    drawers: dict[str, Callable[[], bytes | None]] = {
        "differences": lambda: differences(facts),
        "arms": lambda: arms(facts),
        "history": lambda: history(facts),
        "curves": lambda: curves(facts),
        "importance": lambda: importance(importances),
        "slices": lambda: slices(facts, order),
        "contours": lambda: contours(facts, order),
        "rungs": lambda: survival(facts),
        "correlation": lambda: correlation(facts),
        "cost": lambda: trial_cost(facts),
    }
    drawn = {name: draw() for name, draw in drawers.items()}
    return {name: content for name, content in drawn.items() if content is not None}


def of_comparison(studies: Sequence[StudyFacts]) -> dict[str, bytes]:
    """PNGs by name: results, and what searches cost, each kind of labels by itself."""
    unit = comparison.hours_unit(studies)
    drawn: dict[str, bytes | None] = {}
    for labels, those in comparison.by_labels(studies).items():
        confirmed = [one for one in those if one.report is not None]
        drawn |= {
            f"results-{labels}": results(confirmed) if confirmed else None,
            f"best-of-n-{labels}": _cost_curves(those, unit, expected=True),
            f"search-curves-{labels}": _cost_curves(those, unit, expected=False),
        }
    return {name: content for name, content in drawn.items() if content is not None}


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
                    _interval(axes, at, arm["mean"], arm["low"], arm["high"], colour)
        for name, colour in colours.items():
            axes.plot([], [], "o", color=colour, markersize=5, label=name)
        axes.set_yticks(range(len(rows)), [one.name for one in rows])
        axes.set(xlabel=TEST)
        _legend(axes)
        return finished(figure)


def _cost_curves(studies: Sequence[StudyFacts], unit: str, *, expected: bool) -> bytes | None:
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
        _legend(axes)
        return finished(figure)


def history(facts: StudyFacts) -> bytes | None:
    """See `figures_search.history`."""
    known = [trial for trial in facts.trials if trial.record.val_accuracy is not None]
    if not known:
        return None
    with drawing() as (figure, (axes,)):
        numbers, best = figures_search.running_best(facts.trials)
        if numbers:
            end = max(trial.number for trial in facts.trials)
            heights = [100 * value for value in best]
            axes.step(
                [*numbers, end], [*heights, heights[-1]], where="post", color=GREEN, label="best so far"
            )
        _scatter(axes, known, lambda trial: float(trial.number))
        default = next((trial for trial in known if trial.number == 0), None)
        if default is not None:
            axes.axhline(_percent(default), color=ORANGE, linestyle="--", linewidth=1, label="trial 0")
        axes.set(xlabel="trial", ylabel=VAL)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _legend(axes)
        return finished(figure)


def curves(facts: StudyFacts) -> bytes | None:
    """See `figures_search.curves`."""
    drawn = [trial for trial in facts.trials if trial.evaluations]
    if not drawn:
        return None
    alike = len({trial.record.iterations for trial in drawn}) == 1
    with drawing() as (figure, (axes,)):
        for trial in drawn:
            x = [one.iteration if alike else 100 * one.progress for one in trial.evaluations]
            y = [100 * one.accuracy for one in trial.evaluations]
            colour = {"complete": BLUE}.get(trial.record.outcome, GREY)
            if trial.number == facts.winner:
                axes.plot(
                    x, y, color=GREEN, linewidth=2, zorder=4, label="winner" if facts.report else "best"
                )
            elif trial.number == 0:
                axes.plot(x, y, color=ORANGE, linewidth=2, zorder=3, label="trial 0")
            else:
                axes.plot(x, y, color=colour, linewidth=0.7, alpha=0.45)
        axes.plot([], [], color=BLUE, linewidth=0.7, label="complete")
        axes.plot([], [], color=GREY, linewidth=0.7, label="ended early")
        axes.set(xlabel=facts.unit if alike else "share of the work (%)", ylabel=VAL)
        _legend(axes)
        return finished(figure)


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
    """See `figures_space.slices`."""
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
            _scatter(place, having, functools.partial(_placed, scale, name=name), small=True)
            _ticks(place, scale)
            place.set(title=name + (" (log)" if scale.kind == "log" else ""))
            if len(having) < len(known):
                note = f"{len(known) - len(having)} trials without"
                place.text(0.98, 0.03, note, transform=place.transAxes, ha="right", fontsize=7, color=GREY)
        for place in axes[len(order) :]:
            place.set_visible(False)
        figure.supylabel(VAL, fontsize=9)
        return finished(figure)


def contours(facts: StudyFacts, order: Sequence[str]) -> bytes | None:
    """See `figures_space.contours`."""
    import numpy as np

    pairs = figures_space.pairs(facts, order)
    if not pairs:
        return None
    scales = figures_space.space_scales(facts)
    with drawing(len(pairs), width=3.2 * len(pairs), height=2.6) as (figure, axes):
        for place, (a, b) in zip(axes, pairs):
            trials = figures_space.with_both(facts, a, b)
            x = [_placed(scales[a], trial, a) for trial in trials]
            y = [_placed(scales[b], trial, b) for trial in trials]
            z = [_percent(trial) for trial in trials]
            grid = np.linspace(0, 1, CELLS)
            found = place.contourf(
                grid, grid, np.ma.masked_invalid(surface(x, y, z)), levels=10, cmap="viridis"
            )
            place.scatter(x, y, c=z, cmap="viridis", edgecolors="black", linewidths=0.6, s=16, zorder=3)
            figure.colorbar(found, ax=place, label=VAL, shrink=0.9)
            _ticks(place, scales[a])
            ticks = scales[b].ticks(5)
            place.set_yticks([at for at, _ in ticks], [label for _, label in ticks])
            place.set(xlabel=a, ylabel=b, ylim=(-0.04, 1.04))
            place.grid(visible=False)
        return finished(figure)


def survival(facts: StudyFacts) -> bytes | None:
    """See `figures_search.rung_survival`."""
    found = rungs.survival(facts)
    if not found:
        return None
    with drawing(height=2.6) as (figure, (axes,)):
        names = [f"{one.rung / 10:.1f} %" if one.rung < 1000 else "end" for one in found]
        went = [one.survived for one in found]
        axes.bar(names, went, color=BLUE, label="went on")
        axes.bar(names, [one.stopped for one in found], bottom=went, color="#c9d0d6", label="stopped there")
        axes.set(xlabel="share of a trial's work", ylabel="trials")
        axes.grid(axis="x", visible=False)
        _legend(axes)
        return finished(figure)


def correlation(facts: StudyFacts) -> bytes | None:
    """See `figures_search.correlation`."""
    found = [one for one in rungs.correlations(facts) if one.rho is not None]
    if not found:
        return None
    with drawing(height=2.6) as (figure, (axes,)):
        rho = [one.rho or 0.0 for one in found]
        errors = [
            [(one.rho or 0.0) - (one.low or 0.0) for one in found],
            [(one.high or 0.0) - (one.rho or 0.0) for one in found],
        ]
        axes.errorbar(
            [f"{one.rung / 10:.1f} %" for one in found], rho, yerr=errors, fmt="o", color=BLUE, capsize=3
        )
        axes.axhline(0, color="black", linewidth=0.7)
        axes.set(xlabel="share of a trial's work", ylabel="rank correlation with the end", ylim=(-1.05, 1.05))
        axes.margins(x=0.2)
        return finished(figure)


def trial_cost(facts: StudyFacts) -> bytes | None:
    """See `figures_search.trial_cost`."""
    if not any(trial.seconds for trial in facts.trials):
        return None
    pace = cost.pace(facts)
    with drawing(height=2.6) as (figure, (axes,)):
        unit, size = figures_search.time_unit(max(trial.seconds for trial in facts.trials))
        numbers = [trial.number for trial in facts.trials]
        colours = [{"complete": BLUE}.get(trial.record.outcome, GREY) for trial in facts.trials]
        took = [trial.seconds / size for trial in facts.trials]
        axes.bar(numbers, took, color=colours)
        spared = [cost.saved(trial, pace) / size for trial in facts.trials]
        if any(spared):
            axes.bar(
                numbers,
                spared,
                bottom=took,
                facecolor="none",
                edgecolor=GREY,
                hatch="////",
                linewidth=0.5,
                label="saved by stopping",
            )
            _legend(axes)
        axes.set(xlabel="trial", ylabel=f"wall time ({unit})")
        axes.xaxis.get_major_locator().set_params(integer=True)
        return finished(figure)


def arms(facts: StudyFacts) -> bytes | None:
    """See `figures_result.arms`."""
    if facts.report is None:
        return None
    rows = list(reversed(figures_result.shown_arms(facts.report)))
    with drawing(height=0.8 + 0.27 * len(rows)) as (figure, (axes,)):
        for place, arm in enumerate(rows):
            colour = GREEN if arm["name"] == "winner" else BLUE
            _interval(axes, place, arm["mean"], arm["low"], arm["high"], colour)
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
            _interval(axes, place, row["mean"], row["low"], row["high"], colour, hollow=not row["resolved"])
        axes.axvline(0, color="black", linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(rows)), [figures_result.label(row) for row in rows])
        axes.set(xlabel="difference in points (hollow: not resolved)")
        return finished(figure)


def _interval(
    axes: Any, place: float, mean: float, low: float, high: float, colour: str, hollow: bool = False
) -> None:
    if low == low and high == high:  # one run has no interval
        axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
    face = "white" if hollow else colour
    axes.plot([100 * mean], [place], "o", color=colour, markerfacecolor=face, markersize=5, zorder=3)


def _scatter(
    axes: Any, trials: Sequence[TrialFacts], place: Callable[[TrialFacts], float], small: bool = False
) -> None:
    """Trials by outcome, each a mark of its own."""
    for outcome, (mark, colour) in MARKS.items():
        those = [trial for trial in trials if trial.record.outcome == outcome]
        if those:
            size = {"s": 12 if small else 20, "linewidths": 0.9}
            x, y = [place(trial) for trial in those], [_percent(trial) for trial in those]
            axes.scatter(x, y, marker=mark, color=colour, label=outcome, zorder=3, **size)


def _placed(scale: Scale, trial: TrialFacts, name: str) -> float:
    place = scale.place(trial.record.hyperparameters[name])
    return 0.0 if place is None else place


def _ticks(axes: Any, scale: Scale) -> None:
    ticks = scale.ticks(4)
    axes.set_xticks([at for at, _ in ticks], [label for _, label in ticks])
    axes.set_xlim(-0.06, 1.06)


def _percent(trial: TrialFacts) -> float:
    return 100 * (trial.record.val_accuracy or 0.0)


def _legend(axes: Any) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=4,
        borderaxespad=0.2,
        handlelength=1.4,
        columnspacing=1.0,
    )
