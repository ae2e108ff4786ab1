"""Small scatter plots as SVG: a dozen of them would take plotly longer than all other figures of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raydd.report.page.markup import Markup, join, tag

WIDTH, HEIGHT = 280, 190
LEFT, RIGHT, TOP, BOTTOM = 30, 8, 8, 22

# Paths around (0, 0); a complete trial is a circle.
SHAPES = {
    "pruned": "M-3-3L3 3M3-3L-3 3",
    "diverged": "M-3.5 3L0-3.5 3.5 3Z",
    "failed": "M-3.5 0H3.5M0-3.5V3.5",
    "interrupted": "M-3-3H3V3H-3Z",
    "running": "M-3.5 0L0-3.5 3.5 0 0 3.5Z",
    "unused": "M-4 0H4",
}


@dataclass(frozen=True)
class Point:
    """A mark.

    Attributes:
        x, y: place; x in [0, 1] between the ends of the axis.
        kind: an outcome, or `unused`; which mark and colour it has.
        trial: what is told under the mouse.
        ring: `winner` or `default` where there is a ring around it.
    """

    x: float
    y: float
    kind: str
    trial: int
    ring: str | None = None


def scatter(
    title: str,
    points: Sequence[Point],
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[float],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> Markup:
    """A scatter plot, as wide as what it stands in.

    Args:
        title: for those who cannot see it.
        points: the marks; later ones lie on top.
        x_ticks: (place, label).
        y_ticks: places, which are their labels too.
        x_range, y_range: ends.
    """

    def across(x: float) -> float:
        return LEFT + (x - x_range[0]) / (x_range[1] - x_range[0]) * (WIDTH - LEFT - RIGHT)

    def down(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y_range[0]) / (y_range[1] - y_range[0]) * (HEIGHT - TOP - BOTTOM)

    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    lines = "".join(f"M{left} {down(y):.1f}H{right}" for y in y_ticks)
    lines += "".join(f"M{across(x):.1f} {top}V{bottom}" for x, _ in x_ticks)
    labels = [tag("text", f"{y:g}", x=left - 4, y=f"{down(y) + 3.5:.1f}", text_anchor="end") for y in y_ticks]
    labels += [
        tag("text", label, x=f"{across(x):.1f}", y=bottom + 14, text_anchor="middle") for x, label in x_ticks
    ]
    marks = [_mark(one, across(one.x), down(one.y)) for one in points]
    rings = [
        tag("circle", cx=f"{across(one.x):.1f}", cy=f"{down(one.y):.1f}", r=7, class_=f"ring {one.ring}")
        for one in points
        if one.ring
    ]
    return tag(
        "svg",
        tag("path", d=lines, class_="grid"),
        *labels,
        join(marks),
        *rings,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=title,
        class_="scatter",
    )


def _mark(point: Point, x: float, y: float) -> Markup:
    if point.kind not in SHAPES:
        return tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3.4, class_=point.kind, data_t=point.trial)
    where = f"translate({x:.1f} {y:.1f})"
    return tag("path", d=SHAPES[point.kind], transform=where, class_=point.kind, data_t=point.trial)
