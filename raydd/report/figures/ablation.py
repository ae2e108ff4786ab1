"""What each of IID's two terms adds to its base."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raydd import wording
from raydd.errors import StudyError
from raydd.evaluation import statistics
from raydd.evaluation.statistics import Difference
from raydd.report.figures import style
from raydd.report.figures.captions import about, methods, replicates, values
from raydd.report.figures.choice import Choice
from raydd.report.figures.settings import Setting, alone, settings_of, swept, value_of
from raydd.tuning.studies import Study

TERMS = ("lambda_cc", "lambda_cm")
ON = {
    (False, False): "{base}",
    (True, False): r"+ $L_{{CC}}$",
    (False, True): r"+ $L_{{CM}}$",
    (True, True): "+ both",
}


def ablation(study: Study, choice: Choice) -> dict[str, Setting]:
    """The settings with and without each of IID's two terms, by what they are called.

    Raises:
        StudyError: a term was not turned off and on, or with several weights, or there is no trial without both.
    """
    settings = settings_of(study, choice)
    axes = {}
    for term in TERMS:
        axes[term] = swept_over = swept(study, settings, term)
        if len(swept_over) != 2 or swept_over[0] != 0:
            raise StudyError(
                f"study {study.name!r} has run {term} at {', '.join(map(wording.value, swept_over))}; an ablation "
                f"needs 0 and one weight above it, as `--grid {term}=0,{wording.value(swept_over[-1] or 0.01)}` gives"
            )
    base = str(value_of(study, settings[0], "base") or "dm").upper()
    cells = {
        (value_of(study, one, "lambda_cc") > 0, value_of(study, one, "lambda_cm") > 0): one
        for one in alone(study, settings, axes)
    }
    if (False, False) not in cells:
        raise StudyError(
            f"study {study.name!r} has no complete trial with {' = '.join(TERMS)} = 0, the base that the terms are "
            "compared with"
        )
    return {name.format(base=base): cells[which] for which, name in ON.items() if which in cells}


def differences(found: Mapping[str, Setting]) -> dict[str, tuple[Difference, float]]:
    """What each is better than the base by, paired by replicate, and p after Holm's correction; of those with pairs."""
    base = next(iter(found.values()))
    pairs = {}
    for name, one in list(found.items())[1:]:
        shared = [which for which in one.replicates if which in base.replicates]
        if len(shared) > 1:
            values = [
                [each.accuracies[each.replicates.index(which)] for which in shared] for each in (one, base)
            ]
            pairs[name] = statistics.paired(*values)
    adjusted = statistics.holm([difference.p for difference in pairs.values()])
    return {name: (difference, p) for (name, difference), p in zip(pairs.items(), adjusted)}


def draw_ablation(studies: Sequence[Study], choice: Choice) -> Any:
    """The base, each term and both, with every replicate as a dot, and what is better than the base."""
    (study,) = choice.one(studies)
    found = ablation(study, choice)
    compared = differences(found)
    with style.styled() as pyplot:
        figure, (axis,) = style.panels(pyplot, width=5.2)
        ticks = []
        for place, ((name, one), colour) in enumerate(zip(found.items(), style.colours(len(found)))):
            many = len(one.accuracies)
            shifts = np.linspace(-0.3, -0.12, many) if many > 1 else np.zeros(1)
            axis.plot(place + shifts, one.accuracies, "o", color=colour, alpha=0.5, markersize=4, mew=0)
            error = [[one.mean - one.low], [one.high - one.mean]] if math.isfinite(one.low) else None
            axis.errorbar(place, one.mean, yerr=error, color=colour, marker="D", capsize=4, markersize=6)
            axis.annotate(
                wording.percent(one.mean),
                (place, one.mean),
                xytext=(9, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
            )
            ticks.append(name)
            if name in compared:
                difference, p = compared[name]
                resolved = p < 0.05 and not difference.low <= 0.0 <= difference.high
                ends = f"[{wording.points(difference.low)}, {wording.points(difference.high)}]"
                said = f"{wording.points(difference.mean)} {ends}"
                ticks[-1] += f"\n{said}\n{'resolved' if resolved else 'not resolved'}"
        low, high = style.span(
            [end for one in found.values() for end in (one.low, one.high, *one.accuracies)]
        )
        axis.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
        axis.set_xlim(-0.5, len(found) - 0.4)
        axis.set_xticks(range(len(found)), ticks, fontsize=7.5)
        style.percent(axis.yaxis)
        axis.set_ylabel(style.SEARCH_ESTIMATE)
        axis.grid(axis="y")
        weights = {term: max(value_of(study, one, term) for one in found.values()) for term in TERMS}
        counts = np.array([len(one.accuracies) for one in found.values()])
        style.caption(
            figure,
            f"{methods(studies)}: what each term adds",
            f"{about(studies)}; {values(weights)} where a term is on; dots are replicates, diamonds their mean; "
            f"{replicates(counts, 'of each')}; below: paired difference with the base in points (Holm).",
        )
    return figure
