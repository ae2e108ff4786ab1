"""What each of IID's two terms adds to its base."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from raydd import wording
from raydd.errors import StudyError
from raydd.report.figures import style
from raydd.report.figures.captions import about, methods, replicates
from raydd.report.figures.choice import Choice
from raydd.report.figures.settings import Setting, settings_of, swept, value_of
from raydd.tuning.studies import Study

TERMS = ("lambda_cc", "lambda_cm")
ON = {(False, False): "{base}", (True, False): "+ L_CC", (False, True): "+ L_CM", (True, True): "+ both"}


def ablation(study: Study, choice: Choice) -> dict[str, Setting]:
    """The settings with and without each of IID's two terms, by what they are called.

    Raises:
        StudyError: a term was not turned off and on, or with several weights.
    """
    settings = settings_of(study, choice)
    for term in TERMS:
        values = swept(study, settings, term)
        if len(values) != 2 or values[0] != 0:
            raise StudyError(
                f"study {study.name!r} has run {term} at {', '.join(map(wording.value, values))}; an ablation needs "
                f"0 and one weight above it, as `--grid {term}=0,{wording.value(values[-1] or 0.01)}` gives"
            )
    base = str(value_of(study, settings[0], "base") or "dm").upper()
    kept = {term: set(study.config.search.grid[term]) for term in TERMS if term in study.config.search.grid}
    found = {}
    for (cc, cm), name in ON.items():
        for one in settings:
            weights = {term: value_of(study, one, term) for term in TERMS}
            if any(value not in kept.get(term, {value}) for term, value in weights.items()):
                continue  # trial 0, which is outside the grid
            if (weights["lambda_cc"] > 0, weights["lambda_cm"] > 0) == (cc, cm):
                found[name.format(base=base)] = one
    return found


def draw_ablation(studies: Sequence[Study], choice: Choice) -> Any:
    """Bars over the base, each term and both, with every replicate as a dot."""
    (study,) = choice.one(studies)
    found = ablation(study, choice)
    with style.styled() as pyplot:
        figure, (axis,) = style.panels(pyplot, width=4.4)
        lowest = min(min(one.accuracies) for one in found.values())
        highest = max(max(one.accuracies) for one in found.values())
        for place, (one, colour) in enumerate(zip(found.values(), style.colours(len(found)))):
            many = len(one.accuracies)
            shifts = np.linspace(-0.16, 0.16, many) if many > 1 else np.zeros(1)
            axis.plot(place + shifts, one.accuracies, "o", color=colour, alpha=0.45, markersize=4, mew=0)
            error = [[one.mean - one.low], [one.high - one.mean]] if math.isfinite(one.low) else None
            axis.errorbar(place, one.mean, yerr=error, color=colour, marker="D", capsize=4, markersize=6)
            axis.annotate(
                wording.percent(one.mean),
                (place, one.mean),
                xytext=(12, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        room = 0.15 * max(highest - lowest, 0.005)
        axis.set_ylim(lowest - room, highest + room)
        axis.set_xlim(-0.5, len(found) - 0.3)
        axis.set_xticks(range(len(found)), list(found))
        style.percent(axis.yaxis)
        axis.set_ylabel(style.SEARCH_ESTIMATE)
        axis.grid(axis="y")
        weights = {term: max(value_of(study, one, term) for one in found.values()) for term in TERMS}
        counts = np.array([len(one.accuracies) for one in found.values()])
        style.caption(
            figure,
            f"{methods(studies)}: what each term adds",
            f"{about(studies)}; {wording.hyperparameters(weights)} where a term is on; dots are replicates, "
            f"diamonds their mean; {replicates(counts, 'of each')}.",
        )
    return figure
