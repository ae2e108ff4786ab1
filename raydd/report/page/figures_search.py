"""Figures of how a search went: its history, and its trials' curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydd.report.page.figure import (
    BLUE,
    ESTIMATE,
    GREEN,
    MUTED,
    ORANGE,
    OUTCOMES,
    VAL,
    Figure,
    axis,
    by_outcome,
    hundred,
    line,
    points,
)

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts, TrialFacts


def running_best(trials: list[TrialFacts]) -> tuple[list[int], list[float]]:
    """Number of each complete trial, and the best accuracy of the complete ones up to it."""
    numbers: list[int] = []
    best: list[float] = []
    for trial in trials:
        if trial.rank is not None and trial.record.val_accuracy is not None:
            numbers.append(trial.number)
            best.append(max([trial.record.val_accuracy, *best[-1:]]))
    return numbers, best


def history(facts: StudyFacts) -> Figure | None:
    """Every trial's last accuracy by its number, the best so far, and trial 0's line."""
    known = [trial for trial in facts.trials if trial.record.val_accuracy is not None]
    if not known:
        return None
    data = []
    numbers, best = running_best(facts.trials)
    if numbers:
        end = max(trial.number for trial in facts.trials)
        shape = {"line": {"shape": "hv", "width": 2}, "hoverinfo": "skip"}
        data.append(
            line(
                "best so far",
                [*numbers, end],
                [hundred(value) for value in [*best, best[-1]]],
                GREEN,
                **shape,
            )
        )
    for outcome, trials in by_outcome(known).items():
        symbol, colour = OUTCOMES[outcome]
        accuracies = [hundred(trial.record.val_accuracy) for trial in trials]
        data.append(
            points(
                outcome,
                [trial.number for trial in trials],
                accuracies,
                symbol,
                colour,
                trials=[trial.number for trial in trials],
            )
        )
    shapes, notes = [], []
    default = next((trial for trial in known if trial.number == 0), None)
    if default is not None:
        height = hundred(default.record.val_accuracy)
        shapes.append(
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": height,
                "y1": height,
                "line": {"color": ORANGE, "width": 1.5, "dash": "dash"},
            }
        )
        notes.append(
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "y": height,
                "yanchor": "bottom",
                "text": "trial 0",
                "showarrow": False,
                "font": {"color": ORANGE},
            }
        )
    without = len(facts.trials) - len(known)
    return Figure(
        "history",
        "Optimisation history",
        data,
        {"xaxis": axis("trial"), "yaxis": axis(VAL), "shapes": shapes, "annotations": notes},
        f"The last accuracy of every trial, in the order in which trials began; the step line is the best complete "
        f"trial so far and the dashed one trial 0, the setting that was carried over. {ESTIMATE} "
        "Trials that were stopped early stand at what they had reached by then."
        + (f" {without} trials without any accuracy are not shown." if without else ""),
    )


def curves(facts: StudyFacts) -> Figure | None:
    """Accuracy against iteration of all trials; the winner's and trial 0's stand out."""
    drawn = [trial for trial in facts.trials if trial.evaluations]
    if not drawn:
        return None
    lengths = {trial.record.iterations for trial in drawn}
    alike = len(lengths) == 1
    data = []
    special = {facts.winner: ("winner" if facts.report else "best", GREEN), 0: ("trial 0", ORANGE)}
    if facts.winner == 0:
        special = {0: ("trial 0, the winner", GREEN)}

    def places(trial: TrialFacts) -> list[float]:
        if alike:
            return [float(one.iteration) for one in trial.evaluations]
        return [100.0 * one.progress for one in trial.evaluations]

    for outcome, trials in by_outcome(drawn).items():
        x: list[float | None] = []
        y: list[float | None] = []
        numbers: list[int | None] = []
        for trial in trials:
            if trial.number in special:
                continue
            x += [*places(trial), None]
            y += [*(hundred(one.accuracy) for one in trial.evaluations), None]
            numbers += [*([trial.number] * len(trial.evaluations)), None]
        if x:
            colour = {"complete": BLUE, "pruned": MUTED}.get(outcome, OUTCOMES[outcome][1])
            data.append(
                line(
                    outcome,
                    x,
                    y,
                    colour,
                    line={"width": 1},
                    opacity=0.55,
                    trials=numbers,
                )
            )
    for trial in drawn:
        if trial.number in special:
            name, colour = special[trial.number]
            data.append(
                line(
                    name,
                    places(trial),
                    [hundred(one.accuracy) for one in trial.evaluations],
                    colour,
                    line={"width": 3},
                    mode="lines+markers",
                    marker={"size": 7, "color": colour},
                    trials=[trial.number] * len(trial.evaluations),
                )
            )
    return Figure(
        "curves",
        "Accuracy along the way",
        data,
        {"xaxis": axis(facts.unit if alike else "share of the work (%)"), "yaxis": axis(VAL)},
        "Validation accuracy of every trial at its evaluations: the initial images on the left, the rungs, the end. "
        + ("" if alike else "Trials are of different lengths, so that the axis is the share of their work. ")
        + "Curves that end early were stopped, or failed. All are of one seed and the same random draws, so that they "
        f"differ by their hyperparameters; each point has the noise of its {facts.config.evaluation.repeats} networks.",
    )
