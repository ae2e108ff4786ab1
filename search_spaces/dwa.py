"""DWA: what is searched, and the authors' settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces import published, sre2l

if TYPE_CHECKING:
    from raydd.registry import Context, Suggests
    from search_spaces.published import Scalar

_README = "README of the authors' repository Diversity-Driven-Synthesis"
_START: dict[str, Scalar] = {"init": "real", "coupled": False}


def _setting(lr: float, lambda_var: float, k: int, temperature: float) -> dict[str, Scalar]:
    """rho and lambda_mean are the same everywhere."""
    own = sre2l.setting(lr, 0.01, temperature, lambda_var=lambda_var)
    return {"rho": 0.015, "k": k, **own}


_CIFAR = _setting(0.25, 0.11, 12, 30.0)
_CIFAR_SETUP = {**_START, "batch": 100, "crop": False, "recover_iterations": 1000}

PUBLISHED = (
    published.Published("cifar10", (10, 50), _CIFAR, _README, _CIFAR_SETUP),
    published.Published("cifar100", (10, 50), _CIFAR, _README, _CIFAR_SETUP),
    published.Published(
        "tinyimagenet",
        (50, 100),
        _setting(0.1, 0.11, 12, 20.0),
        _README,
        {**_START, "batch": 200, "crop": True, "recover_iterations": 2000, "teacher_epochs": 100},
    ),
    published.Published(
        "imagenet",
        (10, 50, 100),
        _setting(0.25, 0.02, 15, 20.0),
        _README,
        {**_START, "batch": 100, "crop": True, "recover_iterations": 2000},
    ),
)


def searched(context: Context) -> list[str]:
    """SRe2L's hyperparameters, `rho`, and `k` unless the weights stay where they are."""
    names = ["rho"] if context.fixed.get("rho") == 0 else ["rho", "k"]
    return [name for name in names if name not in context.fixed] + sre2l.searched(context, coupled=False)


def space(trial: Suggests, context: Context) -> dict[str, Scalar]:
    """Draw what is searched, leaving out what is fixed and what has no effect; see `search_spaces.sre2l.space`."""
    names = searched(context)
    values: dict[str, Scalar] = {}
    if "rho" in names:
        values["rho"] = trial.suggest_float("rho", 1e-3, 5e-2, log=True)
    if "k" in names:
        values["k"] = trial.suggest_int("k", 1, 20)
    return {**values, **sre2l.draw(trial, context, [name for name in names if name not in ("rho", "k")])}


def points(context: Context) -> list[dict[str, Scalar]]:
    """Published settings for exactly this dataset and IPC, best known first, recovered for the study's iterations."""
    return sre2l.points_of(PUBLISHED, context, searched(context))


def published_for(context: Context) -> tuple[dict[str, Scalar], str]:
    """Values and name of the setting that trial 0 uses; see `search_spaces.sre2l.published_for`."""
    return sre2l.setting_for(PUBLISHED, context, small="cifar10")
