"""`Figure`: a picture of a report as plotly draws it; colours are names that the page turns into those of its theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raydd import wording
from raydd.report.page.markup import Markup, join, script_json, tag, text

if TYPE_CHECKING:
    from raydd.report.page.facts import TrialFacts

# Colours by theme; the page knows what they are in light and in dark.
INK, MUTED, FAINT, PAPER = "@ink", "@muted", "@faint", "@paper"
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "@blue", "@orange", "@green", "@red", "@purple", "@sky"
BINS = [f"@bin{index}" for index in range(6)]  # from bad to good
SCALE = "@scale"

OUTCOMES = {
    "complete": ("circle", BLUE),
    "pruned": ("x-thin-open", MUTED),
    "diverged": ("triangle-up-open", ORANGE),
    "failed": ("cross-thin-open", RED),
    "interrupted": ("square-open", PURPLE),
    "running": ("diamond-open", PURPLE),
}
VAL = "validation accuracy (%)"
ESTIMATE = (
    "Accuracies here are search estimates: one seed, validation images, and the best of many lies too high."
)


@dataclass(frozen=True)
class Figure:
    """One plot.

    A trace's `trials` are the numbers of its points' trials, which the page tells under the mouse; see `about`.

    Attributes:
        key: its id on the page, and the stem of its PNG.
        title: for people, and for those who cannot see it.
        data, layout: for plotly, but for what all plots share.
        caption: what one sees, and what to beware of.
        height: in pixels.
    """

    key: str
    title: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    caption: str = ""
    height: int = 380
    width: int | None = None  # where it must not be narrower, in a box that scrolls

    def box(self) -> Markup:
        """The element that the page draws it into, with what it draws behind it."""
        wide = f"min-width:{self.width}px;" if self.width else ""
        style = f"{wide}height:{self.height}px"
        drawn = script_json({"data": self.data, "layout": self.layout})
        return join(
            [
                tag(
                    "div",
                    class_="plot",
                    id=f"plot-{self.key}",
                    style=style,
                    role="img",
                    aria_label=self.title,
                ),
                tag("script", drawn, type="application/json"),
            ]
        )

    def markup(self) -> Markup:
        """The plot with its caption."""
        inner = tag("div", self.box(), class_="wide", tabindex="0") if self.width else self.box()
        return tag(
            "figure", tag("h3", self.title), inner, tag("figcaption", self.caption), id=f"figure-{self.key}"
        )


@dataclass(frozen=True)
class Group:
    """Small plots that belong together, under one caption.

    Attributes:
        key, title, caption: as of a figure.
        plots: title and element of each.
    """

    key: str
    title: str
    caption: str
    plots: list[tuple[str, Markup]] = field(default_factory=list)

    def markup(self) -> Markup:
        """The plots side by side, as many as the page is wide."""
        boxes = [tag("div", tag("h4", title), plot) for title, plot in self.plots]
        return tag(
            "figure",
            tag("h3", self.title),
            tag("div", *boxes, class_="small-multiples"),
            tag("figcaption", self.caption),
            id=f"figure-{self.key}",
        )


def axis(title: str | None = None, **more: Any) -> dict[str, Any]:
    """An axis with a title."""
    return {**({"title": {"text": title}} if title else {}), **more}


def hundred(fraction: float | None) -> float | None:
    """A fraction as percent for a plot."""
    return None if fraction is None else round(100.0 * fraction, 3)


def about(trial: TrialFacts) -> str:
    """What is said of a trial under the mouse; plotly reads it as HTML."""
    record = trial.record
    lines = [f"trial {record.number}: {record.outcome}, {record.source}"]
    if record.val_accuracy is not None:
        lines.append(f"{wording.percent(record.val_accuracy)} % at {record.iteration}/{record.iterations}")
    lines += [f"{name} = {wording.value(value)}" for name, value in sorted(record.hyperparameters.items())]
    return "<br>".join(text(line) for line in lines)


def points(
    name: str, x: Sequence[Any], y: Sequence[Any], symbol: str, colour: str, **more: Any
) -> dict[str, Any]:
    """Markers."""
    size = 9 if symbol.endswith("-open") else 8
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": list(x),
        "y": list(y),
        "marker": {"symbol": symbol, "color": colour, "size": size, "line": {"color": colour, "width": 1.5}},
        **more,
    }


def line(name: str, x: Sequence[Any], y: Sequence[Any], colour: str, **more: Any) -> dict[str, Any]:
    """A line."""
    style = {"color": colour, "width": 2, **more.pop("line", {})}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": style,
        **more,
    }


def by_outcome(trials: Sequence[TrialFacts]) -> Mapping[str, list[TrialFacts]]:
    """Trials by outcome, in the order of `OUTCOMES`; only outcomes that occur."""
    found = {outcome: [one for one in trials if one.record.outcome == outcome] for outcome in OUTCOMES}
    return {outcome: those for outcome, those in found.items() if those}
