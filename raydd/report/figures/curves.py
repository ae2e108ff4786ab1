"""Accuracy along one swept hyperparameter, a line a study, and DWA's one weight against two."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raydd import registry, wording
from raydd.errors import StudyError
from raydd.report.figures import style
from raydd.report.figures.captions import about, label, methods, replicates
from raydd.report.figures.choice import Choice
from raydd.report.figures.settings import Setting, alone, settings_of, swept, value_of
from raydd.tuning.studies import Study

NAMES = {
    False: r"decoupled: $\lambda_{\mathrm{mean}}$ held",
    True: "coupled: one weight for mean and variance",
}


@dataclass(frozen=True)
class Curve:
    """Accuracy along one hyperparameter.

    Attributes:
        name: for the legend.
        x: values, ascending.
        mean, low, high: fractions; NaN bounds for one replicate.
        n: replicates.
    """

    name: str
    x: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    n: list[int]


def curve(study: Study, settings: Sequence[Setting], x: str, name: str) -> Curve:
    """The curve of settings that differ in `x` alone."""
    placed = sorted(((float(value_of(study, one, x)), one) for one in settings), key=lambda pair: pair[0])
    return Curve(
        name,
        [at for at, _ in placed],
        [one.mean for _, one in placed],
        [one.low for _, one in placed],
        [one.high for _, one in placed],
        [len(one.accuracies) for _, one in placed],
    )


def weight_curves(studies: Sequence[Study], choice: Choice) -> list[Curve]:
    """DWA's two ways of weighting the variances: by `lambda_var` where it is decoupled, and, where it is `coupled`, by
    `lambda_mean`, which then weights both.

    Raises:
        StudyError: a study has swept neither, or not by itself.
    """
    curves: list[Curve] = []
    for study in studies:
        settings = settings_of(study, choice)
        if value_of(study, settings[0], "coupled") is None and "coupled" not in _fields(study):
            raise StudyError(
                f"study {study.name!r} has searched {study.config.method}, which has no lambda_var and coupled; this "
                "figure takes studies of sre2l and dwa"
            )
        for coupled, x in ((False, "lambda_var"), (True, "lambda_mean")):
            own = [one for one in settings if bool(_coupled(study, one)) == coupled]
            if not own:
                continue
            own = alone(study, own, {x: swept(study, own, x)}, aside=["coupled"])
            name = (
                "coupled: one weight for mean and variance"
                if coupled
                else r"decoupled: $\lambda_{\mathrm{mean}}$ held"
            )
            curves.append(curve(study, own, x, name))
    return curves


def _fields(study: Study) -> Mapping[str, Any]:
    return registry.get(study.config.method).hyperparameters.model_fields


def _coupled(study: Study, setting: Setting) -> Any:
    known = value_of(study, setting, "coupled")
    return _fields(study)["coupled"].default if known is None else known


def curves_along(studies: Sequence[Study], x: str, choice: Choice) -> list[Curve]:
    """A curve for each study along one hyperparameter that it has swept.

    Raises:
        StudyError: one has not swept it, or not by itself.
    """
    curves = []
    for study in studies:
        settings = settings_of(study, choice)
        kept = swept(study, settings, x)
        if any(isinstance(value, str) for value in kept):
            raise StudyError(f"{x!r} of study {study.name!r} has words as values; a curve needs numbers")
        curves.append(curve(study, alone(study, settings, {x: kept}), x, study.name))
    return curves


def draw_curves(curves: Sequence[Curve], x: str, title: str, said: str) -> Any:
    """Curves with the intervals of their replicates, on a log axis where values spread over more than a decade."""
    with style.styled() as pyplot:
        figure, (axis,) = style.panels(pyplot)
        for one, colour, marker in zip(curves, style.colours(len(curves)), style.MARKERS * len(curves)):
            axis.plot(one.x, one.mean, color=colour, marker=marker, label=one.name)
            if all(math.isfinite(low) for low in one.low):
                band = np.clip(
                    [one.low, one.high], 0.0, 1.0
                )  # two replicates leave room for accuracies above 1
                axis.fill_between(one.x, *band, color=colour, alpha=0.15, linewidth=0)
        values = sorted({at for one in curves for at in one.x})
        if values[0] > 0 and values[-1] / values[0] >= 10:
            axis.set_xscale("log")
        axis.set_xticks(values, [wording.value(at) for at in values])
        axis.minorticks_off()
        style.percent(axis.yaxis)
        axis.set_xlabel(x)
        axis.set_ylabel(style.SEARCH_ESTIMATE)
        axis.grid(axis="y")
        if len(curves) > 1:
            axis.legend()
        style.caption(figure, title, said)
    return figure


def draw_weight_curves(studies: Sequence[Study], choice: Choice) -> Any:
    """DWA's figure: decoupled against coupled weights of the variances."""
    curves = weight_curves(studies, choice)
    counts = np.concatenate([one.n for one in curves])
    return draw_curves(
        curves,
        r"weight of the variances ($\lambda_{\mathrm{var}}$; coupled: $\lambda_{\mathrm{mean}}$ too)",
        f"{methods(studies)}: one weight or two",
        f"{about(studies)}; {replicates(counts, 'at each point')}.",
    )


def draw_curves_along(studies: Sequence[Study], choice: Choice) -> Any:
    """Accuracy along any hyperparameter, a line a study."""
    x = choice.needed("x")
    curves = curves_along(studies, x, choice)
    counts = np.concatenate([one.n for one in curves])
    said = f"{about(studies)}; {replicates(counts, 'at each point')}."
    return draw_curves(curves, label(x), f"{methods(studies)}: accuracy over {label(x)}", said)
