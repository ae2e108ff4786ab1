"""What trials did on the way, and how accuracy goes with what a method measures of its images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raydd.cadence import MEASURE
from raydd.errors import StudyError
from raydd.evaluation import statistics
from raydd.evaluation.statistics import Correlation
from raydd.report.figures import style
from raydd.report.figures.captions import about, method_of, methods, told_apart
from raydd.report.figures.choice import Choice
from raydd.tuning.studies import Study, complete

TAKEN_OF = "region_source"
"""Maps of whole images and of sub-images are put together otherwise, and their mUE is not comparable."""


@dataclass(frozen=True)
class Course:
    """One trial's accuracy on the way.

    Attributes:
        number: of the trial.
        source: of its setting.
        iterations, accuracies: of its evaluations; accuracies are fractions.
    """

    number: int
    source: str
    iterations: list[int]
    accuracies: list[float]


def courses(study: Study, choice: Choice) -> list[Course]:
    """Trials that were evaluated after iteration 0, by number.

    Raises:
        StudyError: there is none.
    """
    found = []
    for record in study.trials():
        if choice.replicates and record.replicate not in choice.replicates:
            continue
        rows = [row for row in study.history(record.number) if row.get("evaluated")]
        rows = [row for row in rows if math.isfinite(row["val_accuracy"])]
        if len(rows) > 1:
            iterations = [int(row["iteration"]) for row in rows]
            accuracies = [float(row["val_accuracy"]) for row in rows]
            found.append(Course(record.number, record.source, iterations, accuracies))
    if not found:
        raise StudyError(
            f"study {study.name!r} has no trial that was evaluated on the way: there is nothing to draw"
        )
    return found


def draw_courses(studies: Sequence[Study], choice: Choice) -> Any:
    """Accuracy against iteration: every trial thin, each study's best one thick."""
    with style.styled() as pyplot:
        figure, (axis,) = style.panels(pyplot)
        trials = 0
        names = told_apart([method_of(study) for study in studies], studies)
        for study, name, colour, marker in zip(
            studies, names, style.colours(len(studies)), style.MARKERS * len(studies)
        ):
            found = courses(study, choice)
            trials += len(found)
            ranked = [record.number for record in complete(study.trials())]
            drawn = {one.number for one in found}
            best = next((number for number in ranked if number in drawn), found[0].number)
            for one in found:
                thick = one.number == best
                axis.plot(
                    one.iterations,
                    one.accuracies,
                    color=colour,
                    alpha=1.0 if thick else 0.25,
                    linewidth=2.0 if thick else 0.9,
                    marker=marker if thick else None,
                    zorder=3 if thick else 2,
                    label=f"{name}, best trial" if thick else None,
                )
        style.percent(axis.yaxis)
        axis.set_xlabel("iteration")
        axis.set_ylabel(style.SEARCH_ESTIMATE)
        axis.grid(axis="y")
        axis.legend(loc="best")
        style.caption(
            figure,
            f"{methods(studies)}: accuracy against iteration",
            f"{about(studies)}; {trials} trials, evaluated on the initial images, at rungs and at the end; thick: the "
            "best trial, chosen by its last value.",
        )
    return figure


@dataclass(frozen=True)
class Measured:
    """A measure of the images beside their accuracy, trial by trial.

    Attributes:
        numbers, measure, accuracy: of complete trials; accuracies are fractions.
        groups: of each trial, how its measure was taken: measures of two groups are not comparable.
        group: the one with the most trials, which the correlation is of.
        correlation: rank correlation with its 95 % interval.
    """

    numbers: list[int]
    measure: list[float]
    accuracy: list[float]
    groups: list[str]
    group: str
    correlation: Correlation


def measured(studies: Sequence[Study], name: str, choice: Choice) -> Measured:
    """A measure at the last evaluation of every complete trial.

    Raises:
        StudyError: the method does not measure it, or there are fewer than four trials to correlate, or all are equal.
    """
    numbers, values, accuracies, groups = [], [], [], []
    for study in studies:
        own = 0
        for record in study.trials():
            rows = [row for row in study.history(record.number) if row.get("evaluated")]
            if choice.replicates and record.replicate not in choice.replicates:
                continue
            if record.outcome != "complete" or f"{MEASURE}{name}" not in rows[-1]:
                continue
            own += 1
            numbers.append(record.number)
            values.append(float(rows[-1][f"{MEASURE}{name}"]))
            accuracies.append(float(record.val_accuracy or 0.0))
            groups.append(str(record.values.get(TAKEN_OF, "")))
        if not own:
            raise StudyError(
                f"study {study.name!r} has no complete trial with a measured {name}; {study.config.method} "
                "may not measure it"
            )
    group = max(dict.fromkeys(groups), key=groups.count)
    chosen = [place for place, one in enumerate(groups) if one == group]
    if len(chosen) < 4:
        raise StudyError(f"a rank correlation needs 4 complete trials, got {len(chosen)}")
    compared = {
        name: [values[place] for place in chosen],
        "accuracy": [accuracies[place] for place in chosen],
    }
    for what, those in compared.items():
        if len(set(those)) == 1:
            raise StudyError(
                f"a rank correlation needs values that differ, and all {len(chosen)} trials have the same {what}"
            )
    correlation = statistics.rank_correlation(*compared.values())
    return Measured(numbers, values, accuracies, groups, group, correlation)


def draw_mue(studies: Sequence[Study], choice: Choice) -> Any:
    """mUE against accuracy, a point a trial, with the rank correlation."""
    found = measured(studies, "mue", choice)
    one = found.correlation
    with style.styled() as pyplot:
        figure, (axis,) = style.panels(pyplot, width=4.4)
        names = sorted(set(found.groups), key=lambda group: group != found.group)
        for name, colour, marker in zip(names, style.COLOURS, style.MARKERS):
            own = [place for place, group in enumerate(found.groups) if group == name]
            axis.plot(
                [found.measure[place] for place in own],
                [found.accuracy[place] for place in own],
                marker,
                color=colour,
                alpha=0.8,
                mew=0,
                markersize=5.5,
                label=f"{TAKEN_OF} = {name}",
            )
        if len(names) > 1:
            axis.legend(loc="best")
        style.percent(axis.yaxis)
        axis.set_xlabel("mUE")
        axis.set_ylabel(style.SEARCH_ESTIMATE)
        axis.grid()
        resolved = "" if one.low > 0 or one.high < 0 else ": not resolved"
        axis.set_title(
            f"Spearman's ρ = {one.value:+.2f} [{one.low:+.2f}, {one.high:+.2f}]{resolved}", loc="left"
        )
        style.caption(
            figure,
            f"{methods(studies)}: utilisation and accuracy",
            f"{about(studies)}; n = {one.n} trials of the search"
            + (
                f" with {TAKEN_OF} = {found.group}, as maps of others are taken otherwise"
                if len(names) > 1
                else ""
            )
            + "; 95 % interval of the correlation by Bonett and Wright.",
        )
    return figure
