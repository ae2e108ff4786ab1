"""UDD: what is searched; the paper publishes no setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces import idc

if TYPE_CHECKING:
    from raydd.registry import Context, Suggests
    from search_spaces.published import Scalar

POLICIES = (
    "response",
    "jitter",
)  # the controls `random` and `most_used` are for comparisons, not for searching


def space(trial: Suggests, context: Context) -> dict[str, Scalar]:
    """Draw what is searched, leaving out what is fixed and what has no effect.

    `scheme` exists with the response policy only, `jitter_std` with the jittering policy only, `cfc_tau`
    unless the contrastive term is off, `region_source` where an image holds several. `lambda_cfc` is
    log-uniform over five decades, because the gradient distance is a sum and the contrastive term a mean.
    """
    fixed = context.fixed
    values = idc.matching(trial, context)
    if "grid_size" not in fixed:
        values["grid_size"] = trial.suggest_int("grid_size", 2, 6)
    if "region_scale" not in fixed:
        values["region_scale"] = trial.suggest_float("region_scale", 1 / 3, 5 / 6)
    if "regions" not in fixed:
        values["regions"] = trial.suggest_int("regions", 1, 3)
    if "region_source" not in fixed and values.get("factor", fixed.get("factor")) != 1:
        values["region_source"] = trial.suggest_categorical("region_source", ["sub_image", "image"])
    if "policy" not in fixed:
        values["policy"] = trial.suggest_categorical("policy", list(POLICIES))
    policy = values.get("policy", fixed.get("policy"))
    if policy == "response" and "scheme" not in fixed:
        values["scheme"] = trial.suggest_categorical("scheme", ["feature", "crop"])
    if policy == "jitter" and "jitter_std" not in fixed:
        values["jitter_std"] = trial.suggest_float("jitter_std", 0.03, 0.3, log=True)
    if policy == "jitter" and "jitter_draws" not in fixed:
        values["jitter_draws"] = trial.suggest_int("jitter_draws", 1, 8, log=True)
    if "research_every" not in fixed:
        values["research_every"] = trial.suggest_int("research_every", 1, 8, log=True)
    if "lambda_cfc" not in fixed:
        values["lambda_cfc"] = trial.suggest_float("lambda_cfc", 1e-3, 1e2, log=True)
    if "cfc_tau" not in fixed and fixed.get("lambda_cfc") != 0:
        values["cfc_tau"] = trial.suggest_float("cfc_tau", 0.05, 1.0, log=True)
    return values


def points(context: Context) -> list[dict[str, Scalar]]:
    """None: the paper's page gives no setting, and no code is released."""
    return []


def published_for(context: Context) -> tuple[dict[str, Scalar], str]:
    """IDC's setting for the data at hand; the rest are UDD's defaults, `lambda_cfc` 1 being the paper's plain sum."""
    values, name = idc.published_for(context)
    return values, f"UDD's defaults on IDC's setting ({name})"
