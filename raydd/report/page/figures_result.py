"""Figures of what was confirmed on test data: arms with intervals, and paired differences as a forest plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raydd.report import soft_labels
from raydd.report.page.figure import BLUE, GREEN, INK, MUTED, Figure, axis, hundred, points
from raydd.report.page.markup import text

TEST = "accuracy on test data (%)"


def shown_arms(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Arms of the winner's kind of labels on the main net, in the report's order."""
    net = report["arms"][0]["net"]
    return [arm for arm in soft_labels.together(report) if arm["net"] == net]


def arms(report: Mapping[str, Any]) -> Figure:
    """Mean and interval of every arm, and its runs."""
    rows = list(reversed(shown_arms(report)))
    single = [arm for arm in rows if arm["n"] < 2]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "runs",
            "x": [hundred(run) for arm in rows for run in arm["runs"]],
            "y": [text(arm["name"]) for arm in rows for _ in arm["runs"]],
            "marker": {"symbol": "line-ns-open", "size": 10, "color": MUTED, "line": {"width": 1.5}},
            "hoverinfo": "x",
        },
        _intervals(
            "mean and 95 % interval",
            [arm["mean"] for arm in rows],
            [arm["low"] for arm in rows],
            [arm["high"] for arm in rows],
            [arm["name"] for arm in rows],
            [GREEN if arm["name"] == "winner" else BLUE for arm in rows],
        ),
    ]
    alone = " and ".join(arm["name"] for arm in single)
    return Figure(
        "arms",
        "Accuracy on test data",
        data,
        {"xaxis": axis(TEST), "yaxis": axis(type="category", automargin=True)},
        f"Mean over {len(report['seeds'])} fresh distillation runs and its 95 % t-interval; grey strokes are the runs, "
        f"each the mean of {report['protocol']['repeats']} networks of {rows[-1]['net']}. Arms ran with the same "
        "seeds, so that their differences, above, are surer than these intervals look"
        + (f"; {alone} is one network, without an interval" if single else "")
        + ".",
        height=110 + 40 * len(rows),
    )


def differences(report: Mapping[str, Any]) -> Figure | None:
    """Paired differences with intervals; those that are not resolved are hollow."""
    rows = list(reversed(report["differences"]))
    if not rows:
        return None
    names = [label(row) for row in rows]
    colours = [(GREEN if row["mean"] > 0 else INK) if row["resolved"] else MUTED for row in rows]
    forest = _intervals(
        "difference",
        [row["mean"] for row in rows],
        [row["low"] for row in rows],
        [row["high"] for row in rows],
        names,
        colours,
    )
    forest["marker"]["symbol"] = ["circle" if row["resolved"] else "circle-open" for row in rows]
    forest["marker"]["line"] = {"width": 2, "color": colours}
    forest["hovertext"] = [text(row["text"]) for row in rows]
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": 0, "x1": 0}
    return Figure(
        "differences",
        "Paired differences",
        [forest],
        {
            "xaxis": axis("difference in points", zeroline=False),
            "yaxis": axis(type="category", automargin=True),
            "shapes": [{**line, "line": {"color": INK, "width": 1, "dash": "dot"}}],
            "showlegend": False,
        },
        "Differences between arms with the same seeds, with 95 % t-intervals of the pairs. A filled point is a "
        "difference that is resolved after Holm's correction; a hollow one is not resolved, even where its own "
        "interval leaves out 0. Right of the line the first one is better.",
        height=90 + 40 * len(rows),
    )


def label(difference: Mapping[str, Any]) -> str:
    """What is compared: the verdict's own words for it."""
    return str(difference["text"]).partition(" = ")[0].partition(": not resolved")[0]


def _intervals(
    name: str,
    mean: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    labels: Sequence[str],
    colours: Sequence[str],
) -> dict[str, Any]:
    """Points with intervals of their own colours; plotly has one colour for all bars of a trace, so ink it is."""
    known = [not (one != one or two != two) for one, two in zip(low, high)]
    trace = points(name, [hundred(one) for one in mean], [text(one) for one in labels], "circle", INK)
    trace["marker"] |= {"color": list(colours), "size": 11, "line": {"width": 0}}
    trace["error_x"] = {
        "type": "data",
        "symmetric": False,
        "array": [hundred(b - a) if ok else 0 for a, b, ok in zip(mean, high, known)],
        "arrayminus": [hundred(a - b) if ok else 0 for a, b, ok in zip(mean, low, known)],
        "color": INK,
        "thickness": 1.5,
        "width": 5,
    }
    trace["hovertext"] = [
        f"{text(label)}: {100 * a:.1f}" + (f" [{100 * b:.1f}, {100 * c:.1f}]" if ok else "")
        for label, a, b, c, ok in zip(labels, mean, low, high, known)
    ]
    trace["hoverinfo"] = "text"
    return trace
