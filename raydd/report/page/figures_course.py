"""Figures of early stopping and of cost: rungs, whether they tell the end, and what every trial took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydd import wording
from raydd.report.page import cost, rungs
from raydd.report.page.figure import BLUE, FAINT, MUTED, OUTCOMES, Figure, axis, by_outcome, points

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts


def rung_survival(facts: StudyFacts) -> Figure | None:
    """How many trials reached each rung, and how many of them were stopped there."""
    found = rungs.survival(facts)
    if not found:
        return None
    names = [f"{one.rung / 10:.1f} %" if one.rung < 1000 else "end" for one in found]
    data = [
        {
            "type": "bar",
            "name": "went on" if one == "survived" else "stopped there",
            "x": names,
            "y": [getattr(rung, one) for rung in found],
            "text": [getattr(rung, one) or "" for rung in found],
            "marker": {"color": BLUE if one == "survived" else FAINT, "line": {"color": MUTED, "width": 1}},
            "hoverinfo": "x+name+y",
        }
        for one in ("survived", "stopped")
    ]
    return Figure(
        "rungs",
        "How many trials survived each rung",
        data,
        {
            "barmode": "stack",
            "xaxis": axis("share of a trial's work", type="category"),
            "yaxis": axis("trials", rangemode="tozero"),
        },
        "Trials that were evaluated at each rung, and those of them that the scheduler stopped there. One is stopped "
        f"only where it lies below the best {wording.share(1 / facts.config.search.reduction_factor)} by more than "
        f"{facts.config.search.prune_margin:g} standard errors of an evaluation, and never before enough others have "
        "been there; trial 0 never is.",
        height=320,
    )


def correlation(facts: StudyFacts) -> Figure | None:
    """Spearman's rho between rungs and the end."""
    found = [one for one in rungs.correlations(facts) if one.rho is not None]
    if not found:
        return None
    names = [f"{one.rung / 10:.1f} %" for one in found]
    rho = [one.rho or 0.0 for one in found]
    data = [
        points(
            "rho",
            names,
            rho,
            "circle",
            BLUE,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [(one.high or 0.0) - (one.rho or 0.0) for one in found],
                "arrayminus": [(one.rho or 0.0) - (one.low or 0.0) for one in found],
                "color": BLUE,
                "thickness": 2,
                "width": 6,
            },
            hovertext=[f"rho = {one.rho:.2f} [{one.low:.2f}, {one.high:.2f}], n = {one.n}" for one in found],
            hoverinfo="text",
        )
    ]
    n = min(one.n for one in found)
    few = f" With {n} trials that says little." if n < rungs.MANY else ""
    return Figure(
        "correlation",
        "Does a rung tell the end?",
        data,
        {
            "xaxis": axis("share of a trial's work", type="category"),
            "yaxis": axis("rank correlation with the end", range=[-1.05, 1.05], zeroline=True),
            "showlegend": False,
        },
        f"Spearman's rank correlation between the accuracies at a rung and at the end, with its 95 % interval, over "
        f"the {n} complete trials.{few} Trials that were stopped have no end, so that the worst are missing, which "
        "makes the correlation look weaker than it is over all settings.",
        height=320,
    )


def trial_cost(facts: StudyFacts) -> Figure | None:
    """What every trial took, and what it would have taken had it run to its end."""
    if not any(trial.seconds for trial in facts.trials):
        return None
    pace = cost.pace(facts)
    unit, divisor = time_unit(max(trial.seconds for trial in facts.trials))
    data = []
    for outcome, trials in by_outcome(facts.trials).items():
        colour = {"complete": BLUE, "pruned": MUTED}.get(outcome, OUTCOMES[outcome][1])
        data.append(
            {
                "type": "bar",
                "name": outcome,
                "x": [trial.number for trial in trials],
                "y": [trial.seconds / divisor for trial in trials],
                "marker": {"color": colour},
                "hovertext": [f"trial {one.number}: {wording.duration(one.seconds)}" for one in trials],
                "hoverinfo": "text",
            }
        )
    stopped = [trial for trial in facts.trials if cost.saved(trial, pace) > 0]
    if stopped:
        data.append(
            {
                "type": "bar",
                "name": "saved by stopping",
                "x": [trial.number for trial in stopped],
                "y": [cost.saved(trial, pace) / divisor for trial in stopped],
                "marker": {"color": FAINT},
                "hovertext": [
                    f"trial {one.number}: {wording.duration(cost.saved(one, pace))} less than to its end"
                    for one in stopped
                ],
                "hoverinfo": "text",
            }
        )
    spent = cost.of(facts)
    return Figure(
        "cost",
        "What each trial took",
        data,
        {"barmode": "stack", "bargap": 0.15, "xaxis": axis("trial"), "yaxis": axis(f"wall time ({unit})")},
        "Wall time of every trial, over all its attempts. Pale is what stopped trials would have taken in addition, "
        f"at the median pace of complete ones: {wording.share(spent.saved_share)} of a "
        "search without stopping. How long a trial takes depends on its hyperparameters and on what else the machine "
        "did, so that this is an estimate.",
        height=320,
    )


def time_unit(seconds: float) -> tuple[str, float]:
    """Unit in which so many seconds are a number that is easily read, and its seconds."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 3 * size:
            return unit, size
    return "s", 1.0
