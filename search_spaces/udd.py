"""UDD: what is searched; the paper publishes no setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search_spaces import cells, idc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from raydd.registry import Context, Suggests
    from search_spaces.published import Scalar

POLICIES = (
    "response",
    "jitter",
)  # the controls `random` and `most_used` are for comparisons, not for searching
GRID_SIZES = range(2, 7)
SCALES = [step / 24 for step in range(8, 21)]  # from 1/3 to 5/6 in steps, 1/2 among them
MOST_REGIONS = 3


def source_side(size: int, factor: int, region_source: str) -> int:
    """Side in pixels of a source of windows: of a cell, or of the whole stored image of `size` px."""
    return size if region_source == "image" else cells.cell_side(size, factor)


def window_count(side: int, grid_size: int, scales: float | Sequence[float]) -> int:
    """Different windows in a source of `side` px: the length of `raydd.distillation.windows.windows`, without torch.

    Of the n positions along a side as many differ as there are pixels to move by, and one; scales that round to one
    window are one.
    """
    several = [scales] if isinstance(scales, int | float) else scales
    windows = {min(side, max(1, round(scale * side))) for scale in several}
    return sum(min(grid_size, side - window + 1) ** 2 for window in windows)


def space(trial: Suggests, context: Context) -> dict[str, Scalar]:
    """Draw what is searched, leaving out what is fixed and what has no effect.

    `scheme` exists with the response policy only, `jitter_std` with the jittering policy only, `cfc_tau`
    unless the contrastive term is off, `region_source` where an image holds several. `lambda_cfc` is
    log-uniform over five decades, because the gradient distance is a sum and the contrastive term a mean.
    There are never more `regions` than windows: small sources bound what is drawn, and where `regions` is fixed,
    the windows are drawn such that there are enough.
    """
    fixed = context.fixed
    needed = int(fixed.get("regions", 1))
    most_windows = {"grid_size": GRID_SIZES[-1], "region_scale": SCALES[0], "region_source": "sub_image"}
    factors = [
        factor
        for factor in cells.offered(context.size)
        if _windows({**most_windows, **fixed, "factor": factor}, context) >= needed
    ]
    values = idc.matching(trial, context, factors or [1])
    if "region_source" not in fixed and values.get("factor", fixed.get("factor")) != 1:
        values["region_source"] = trial.suggest_categorical("region_source", ["sub_image", "image"])

    def enough(**more: float) -> bool:
        return _windows({**most_windows, **fixed, **values, **more}, context) >= needed

    if "grid_size" not in fixed:
        least = min((n for n in GRID_SIZES if enough(grid_size=n)), default=GRID_SIZES[-1])
        values["grid_size"] = trial.suggest_int("grid_size", least, GRID_SIZES[-1])
    if "region_scale" not in fixed:
        largest = max((scale for scale in SCALES if enough(region_scale=scale)), default=SCALES[0])
        values["region_scale"] = trial.suggest_float("region_scale", SCALES[0], largest)
    if "regions" not in fixed:
        most = min(MOST_REGIONS, _windows({**most_windows, **fixed, **values}, context))
        values["regions"] = trial.suggest_int("regions", 1, most)
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


def _windows(values: Mapping[str, Any], context: Context) -> int:
    side = source_side(context.size, values["factor"], values["region_source"])
    return window_count(side, values["grid_size"], values["region_scale"])


def points(context: Context) -> list[dict[str, Scalar]]:
    """None: the paper's page gives no setting, and no code is released."""
    return []


def published_for(context: Context) -> tuple[dict[str, Scalar], str]:
    """IDC's setting for the data at hand; the rest are UDD's defaults, `lambda_cfc` 1 being the paper's plain sum."""
    values, name = idc.published_for(context)
    return values, f"UDD's defaults on IDC's setting ({name})"
