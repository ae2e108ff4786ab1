"""The main figures as PNGs for papers and slides, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from raydd.report.page import comparison, figures_space, pngs_result, pngs_search, pngs_space

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts
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


def of_study(facts: StudyFacts, importances: list[Importance]) -> dict[str, bytes]:
    """PNGs by name, of those figures that the study has something for."""
    order = figures_space.by_importance(facts, importances)
    drawers: dict[str, Callable[[], bytes | None]] = {
        "differences": lambda: pngs_result.differences(facts),
        "arms": lambda: pngs_result.arms(facts),
        "history": lambda: pngs_search.history(facts),
        "curves": lambda: pngs_search.curves(facts),
        "importance": lambda: pngs_space.importance(importances),
        "slices": lambda: pngs_space.slices(facts, order),
        "contours": lambda: pngs_space.contours(facts, order),
        "rungs": lambda: pngs_search.survival(facts),
        "correlation": lambda: pngs_search.correlation(facts),
        "cost": lambda: pngs_search.trial_cost(facts),
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
            f"results-{labels}": pngs_result.results(confirmed) if confirmed else None,
            f"best-of-n-{labels}": pngs_result.cost_curves(those, unit, expected=True),
            f"search-curves-{labels}": pngs_result.cost_curves(those, unit, expected=False),
        }
    return {name: content for name, content in drawn.items() if content is not None}
