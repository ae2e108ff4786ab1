"""Figures of several studies: confirmed results, accuracy against images per class, and what searches cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raydd.report.page import best_of, comparison
from raydd.report.page.figure import (
    BLUE,
    ESTIMATE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Figure,
    axis,
    hundred,
    line,
    points,
)
from raydd.report.page.figures_result import TEST, shown_arms
from raydd.report.page.markup import text

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts

CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, INK)
DASHES = ("solid", "dash", "dot", "dashdot")
ARMS = {"winner": GREEN, "default": ORANGE, "base": BLUE, "random": MUTED}


def style(index: int) -> tuple[str, str]:
    """Colour and dash of the study at `index`; no two of the first 28 are alike."""
    return CYCLE[index % len(CYCLE)], DASHES[index // len(CYCLE) % len(DASHES)]


def results(studies: Sequence[StudyFacts], labels: str) -> Figure:
    """Winner, default, base and random of every confirmed study with one kind of labels."""
    names = [f"{one.name}" for one in reversed(studies)]
    data: list[dict[str, Any]] = []
    offsets = {"winner": 0.24, "default": 0.08, "base": -0.08, "random": -0.24}
    for arm, colour in ARMS.items():
        rows = [(place, _arm(one, arm)) for place, one in enumerate(reversed(studies))]
        found = [(place, row) for place, row in rows if row is not None]
        if found:
            trace = points(
                arm,
                [hundred(row["mean"]) for _, row in found],
                [place + offsets[arm] for place, _ in found],
                "circle",
                colour,
            )
            several = [row["n"] > 1 for _, row in found]
            trace["error_x"] = {
                "type": "data",
                "symmetric": False,
                "array": [
                    hundred(row["high"] - row["mean"]) if ok else 0 for ok, (_, row) in zip(several, found)
                ],
                "arrayminus": [
                    hundred(row["mean"] - row["low"]) if ok else 0 for ok, (_, row) in zip(several, found)
                ],
                "color": colour,
                "thickness": 1.5,
                "width": 3,
            }
            trace["hovertext"] = [
                f"{text(names[place])}, {arm}: {100 * row['mean']:.1f}"
                + (f" [{100 * row['low']:.1f}, {100 * row['high']:.1f}]" if row["n"] > 1 else "")
                for place, row in found
            ]
            data.append({**trace, "hoverinfo": "text"})
    return Figure(
        f"results-{labels}",
        f"Confirmed accuracy, {labels} labels",
        data,
        {
            "xaxis": axis(TEST),
            "yaxis": axis(
                tickvals=list(range(len(names))),
                ticktext=[text(name) for name in names],
                range=[-0.6, len(names) - 0.4],
                automargin=True,
            ),
        },
        "Mean and 95 % t-interval of each study's winner, of the setting that was carried over (default), of the base "
        "and of randomly chosen real images. The intervals are each study's own; whether two studies differ is not "
        "tested here.",
        height=110 + 62 * len(names),
    )


def _arm(facts: StudyFacts, name: str) -> Any:
    assert facts.report is not None
    rows = shown_arms(facts.report)
    return next((row for row in rows if row["name"] == name), None)


def against_ipc(studies: Sequence[StudyFacts], labels: str) -> Figure | None:
    """Winners against images per class, a line for each method and data set; None where no two can be joined."""
    groups: dict[tuple[str, str], list[StudyFacts]] = {}
    for one in studies:
        groups.setdefault((one.config.method, comparison.data(one)), []).append(one)
    joined = {key: those for key, those in groups.items() if len({one.config.ipc for one in those}) > 1}
    if not joined:
        return None
    data = []
    for index, ((method, name), those) in enumerate(sorted(joined.items())):
        those = sorted(those, key=lambda one: one.config.ipc)
        rows = [_arm(one, "winner") for one in those]
        colour, dash = style(index)
        trace = line(
            f"{method}, {name}",
            [one.config.ipc for one in those],
            [hundred(row["mean"]) for row in rows],
            colour,
            line={"dash": dash},
            mode="lines+markers",
            marker={"size": 8, "color": colour},
        )
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [hundred(row["high"] - row["mean"]) for row in rows],
            "arrayminus": [hundred(row["mean"] - row["low"]) for row in rows],
            "color": colour,
        }
        data.append(trace)
    ticks = sorted({one.config.ipc for those in joined.values() for one in those})
    return Figure(
        f"ipc-{labels}",
        "Accuracy against images per class",
        data,
        {
            "xaxis": axis("images per class", type="log", tickvals=ticks, ticktext=list(map(str, ticks))),
            "yaxis": axis(TEST),
        },
        f"Confirmed winners with 95 % intervals, {labels} labels. The lines join studies of one method and data set; "
        "what else they differ in stands above.",
    )


def best_of_n(studies: Sequence[StudyFacts], labels: str, unit: str) -> Figure | None:
    """Expected best of n trials against what n trials cost."""
    data = []
    for index, one in enumerate(studies):
        pairs = best_of.trial_values(one)
        if pairs:
            colour, dash = style(index)
            each = sum(seconds for _, seconds in pairs) / len(pairs)
            expected = best_of.expected_best([accuracy for accuracy, _ in pairs])
            data.append(
                line(
                    one.name,
                    [comparison.hours(one, each * n, unit) for n in range(1, len(pairs) + 1)],
                    [hundred(value) for value in expected],
                    colour,
                    line={"dash": dash},
                    mode="lines+markers",
                    marker={"size": 4, "color": colour},
                    hovertext=[
                        f"{text(one.name)}: best of {n}, {100 * v:.1f} %" for n, v in enumerate(expected, 1)
                    ],
                    hoverinfo="text",
                )
            )
    if not data:
        return None
    return Figure(
        f"best-of-n-{labels}",
        "The best of n trials, against what they cost",
        data,
        {"xaxis": axis(unit, rangemode="tozero"), "yaxis": axis("expected best validation accuracy (%)")},
        "Expected best validation accuracy of n of a study's trials, drawn without replacement: with the N accuracies "
        "sorted, the sum over i of v(i) C(i-1, n-1) / C(N, n); against n times a trial's mean cost. A trial that was "
        "stopped early counts with its last accuracy, one without any with the lowest. The trials are those of the "
        "search, which learns as it goes, so that this is what this study's trials were worth in random order. "
        f"{ESTIMATE}",
    )


def search_curves(studies: Sequence[StudyFacts], labels: str, unit: str) -> Figure | None:
    """The best so far against what it had cost by then."""
    data = []
    for index, one in enumerate(studies):
        pairs = best_of.best_so_far(best_of.trial_values(one))
        if pairs:
            colour, dash = style(index)
            x = [comparison.hours(one, seconds, unit) for seconds, _ in pairs]
            y = [hundred(best) for _, best in pairs]
            data.append(line(one.name, x, y, colour, line={"dash": dash, "shape": "hv"}))
    if not data:
        return None
    return Figure(
        f"search-curves-{labels}",
        "Searches as they went",
        data,
        {"xaxis": axis(unit, rangemode="tozero"), "yaxis": axis("best validation accuracy so far (%)")},
        "Best validation accuracy so far against what the trials up to then had cost, in the order of their numbers; "
        f"trial 0 comes first. {ESTIMATE}",
    )
