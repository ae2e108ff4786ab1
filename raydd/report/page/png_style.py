"""How PNGs look, and the parts that they share: figures in one style, marks by outcome, intervals."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raydd.report.page.facts import TrialFacts
    from raydd.report.page.scales import Scale

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


def interval(
    axes: Any, place: float, mean: float, low: float, high: float, colour: str, hollow: bool = False
) -> None:
    """A mean with its interval, if it has one."""
    if low == low and high == high:  # one run has no interval
        axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
    face = "white" if hollow else colour
    axes.plot([100 * mean], [place], "o", color=colour, markerfacecolor=face, markersize=5, zorder=3)


def scatter(
    axes: Any, trials: Sequence[TrialFacts], place: Callable[[TrialFacts], float], small: bool = False
) -> None:
    """Trials by outcome, each a mark of its own."""
    for outcome, (mark, colour) in MARKS.items():
        those = [trial for trial in trials if trial.record.outcome == outcome]
        if those:
            size = {"s": 12 if small else 20, "linewidths": 0.9}
            x, y = [place(trial) for trial in those], [percent(trial) for trial in those]
            axes.scatter(x, y, marker=mark, color=colour, label=outcome, zorder=3, **size)


def placed(scale: Scale, trial: TrialFacts, name: str) -> float:
    """Where a trial's value lies on an axis."""
    place = scale.place(trial.record.hyperparameters[name])
    return 0.0 if place is None else place


def ticks(axes: Any, scale: Scale) -> None:
    """Label the horizontal axis."""
    ticks = scale.ticks(4)
    axes.set_xticks([at for at, _ in ticks], [label for _, label in ticks])
    axes.set_xlim(-0.06, 1.06)


def percent(trial: TrialFacts) -> float:
    """A trial's accuracy, in percent."""
    return 100 * (trial.record.val_accuracy or 0.0)


def legend(axes: Any) -> None:
    """A legend above the axes."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=4,
        borderaxespad=0.2,
        handlelength=1.4,
        columnspacing=1.0,
    )
