"""IID on DM or on IDM: what is searched, and the authors' settings."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from search_spaces import dm, idm, published

if TYPE_CHECKING:
    from raydd.registry import Context, Suggests
    from search_spaces.published import Scalar

_COMMANDS = "with the command of its README, of the authors' repository"
PUBLISHED = {
    "dm": (
        published.Published(
            "cifar10",
            (10,),
            {"lr_img": 1.0, "lambda_cc": 0.05, "lambda_cm": 0.01, "cc_form": "sum"},
            f"main_DM_IID.py, L240 and L246, {_COMMANDS}",
        ),
    ),
    "idm": (
        published.Published(
            "cifar10",
            (10,),
            {
                "lr_img": 0.2,
                "lambda_cc": 0.01,
                "lambda_cm": 0.03,
                "cc_form": "sum",
                "ce_weight": 0.5,
                "factor": 2,
            },
            f"IDM_cifar10_IID.py, L372 and L382, {_COMMANDS}",
        ),
    ),
}
TERMS = ("lambda_cc", "lambda_cm", "cc_form")  # IID's own; the rest of its settings is the base's
ALPHA = 0.02  # the exponent's scale in the authors' commented lines, L248-251
B_UNMEASURED = 0.5  # beta from 1.0 to 1.5 where nothing was measured
B_DECADES = 3.0


def largest_b(context: Context) -> float:
    """Upper end of b = beta - 1: exp(alpha * d95) - 1, which lets 95 % of the initial images be.

    d95, the 95th percentile of d over the initial images under the pool, is measured once per study. The
    exponential goes on linearly beyond 10, as in the loss.
    """
    if "d95" not in context.measured:
        return B_UNMEASURED
    exponent = float(context.fixed.get("alpha", ALPHA)) * context.measured["d95"]
    value = math.expm1(exponent) if exponent <= 10.0 else math.exp(10.0) * (exponent - 9.0) - 1.0
    return max(value, 1e-6)  # equal initial images leave nothing to search, but the range must not be empty


def base_of(context: Context) -> str:
    """The method that IID is added to: `dm`, unless `base` is fixed at `idm`."""
    return str(context.fixed.get("base", "dm"))


def acts(context: Context) -> bool:
    """Whether IID's terms have a gradient: with several images a class, and always where IDM parts them.

    IDM without parts (`factor` fixed at 1) has one image a class at IPC 1, as DM has.
    """
    return context.ipc > 1 or (base_of(context) == "idm" and context.fixed.get("factor", 2) != 1)


def beta_is_searched(context: Context) -> bool:
    """Whether a trial may draw `beta`; only then does anything depend on d95."""
    fixed = context.fixed
    hinge = fixed.get("cc_form", "hinge_exp") == "hinge_exp" and fixed.get("lambda_cc") != 0
    return acts(context) and hinge and "beta" not in fixed


def space(trial: Suggests, context: Context) -> dict[str, Scalar]:
    """Draw what is searched, leaving out what is fixed and what has no effect.

    `lr_img`, `lambda_cc` and `lambda_cm` are log-uniform, because the losses are sums and L_CM is of 4th
    order in the features' scale. `beta` exists with `cc_form = hinge_exp` only and is drawn as `b`:
    beta = 1 + b, b log-uniform over three decades up to `largest_b`, because every beta <= 1 has one gradient.
    On IDM, IDM's own are searched too. At IPC 1 on DM both terms of IID have no gradient, and `lr_img` alone
    is searched; on IDM the same holds of a trial that draws `factor` 1.
    """
    fixed = context.fixed
    base = idm if base_of(context) == "idm" else dm
    values = base.space(trial, context)
    if not acts(context) or (context.ipc == 1 and values.get("factor") == 1):
        return values
    if "lambda_cm" not in fixed:
        values["lambda_cm"] = trial.suggest_float("lambda_cm", 1e-5, 1.0, log=True)
    if "lambda_cc" not in fixed:
        values["lambda_cc"] = trial.suggest_float("lambda_cc", 1e-4, 1.0, log=True)
    elif fixed["lambda_cc"] == 0:
        return values
    if "cc_form" not in fixed:
        values["cc_form"] = trial.suggest_categorical("cc_form", ["sum", "hinge_exp"])
    if values.get("cc_form", fixed.get("cc_form")) == "hinge_exp" and "beta" not in fixed:
        high = largest_b(context)
        values["beta"] = 1.0 + trial.suggest_float("b", high * 10.0**-B_DECADES, high, log=True)
    return values


def points(context: Context) -> list[dict[str, Scalar]]:
    """Published settings for exactly this dataset and IPC, best known first."""
    return published.points(PUBLISHED[base_of(context)], context)


def published_for(context: Context) -> tuple[dict[str, Scalar], str]:
    """Values and name of the setting that trial 0 uses; see `search_spaces.published.lookup`.

    Where IID's setting is carried over to other data or another IPC, its terms alone are: `lr_img` and all others
    are the base's own setting for the data at hand, so that trial 0 differs from the base in the report by IID's
    terms only.
    """
    base, table = base_of(context), PUBLISHED[base_of(context)]
    own, of_base = (idm if base == "idm" else dm).published_for(context)
    whole, name = published.lookup(table, context)
    if points(context) or (base == "dm" and {**whole, **own} == whole):
        return {**own, **whole}, name
    terms = [replace(entry, values={name: entry.values[name] for name in TERMS}) for entry in table]
    values, name = published.lookup(terms, context)
    return {**own, **values}, f"IID's terms ({name}) on {base.upper()}'s setting ({of_base})"
