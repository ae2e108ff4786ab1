"""PNGs of how a search went: see `figures_search` and `figures_course`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydd.report.page import cost, figures_course, figures_search, rungs
from raydd.report.page.png_style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VAL,
    drawing,
    finished,
    legend,
    percent,
    scatter,
)

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts


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
        scatter(axes, known, lambda trial: float(trial.number))
        default = next((trial for trial in known if trial.number == 0), None)
        if default is not None:
            axes.axhline(percent(default), color=ORANGE, linestyle="--", linewidth=1, label="trial 0")
        axes.set(xlabel="trial", ylabel=VAL)
        axes.xaxis.get_major_locator().set_params(integer=True)
        legend(axes)
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
        legend(axes)
        return finished(figure)


def survival(facts: StudyFacts) -> bytes | None:
    """See `figures_course.rung_survival`."""
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
        legend(axes)
        return finished(figure)


def correlation(facts: StudyFacts) -> bytes | None:
    """See `figures_course.correlation`."""
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
    """See `figures_course.trial_cost`."""
    if not any(trial.seconds for trial in facts.trials):
        return None
    pace = cost.pace(facts)
    with drawing(height=2.6) as (figure, (axes,)):
        unit, size = figures_course.time_unit(max(trial.seconds for trial in facts.trials))
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
            legend(axes)
        axes.set(xlabel="trial", ylabel=f"wall time ({unit})")
        axes.xaxis.get_major_locator().set_params(integer=True)
        return finished(figure)
