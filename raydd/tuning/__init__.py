"""The search: plan, Ray, Optuna, MLflow and confirmation. Its functions are imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raydd.tuning.extending import More, add_point
    from raydd.tuning.forecast import dry_run
    from raydd.tuning.plan import Plan, prepare
    from raydd.tuning.progress import Progress
    from raydd.tuning.rerun import run_again
    from raydd.tuning.search import StudyResult, launch, resume
    from raydd.tuning.search import confirm_study as confirm
    from raydd.tuning.studies import Study, TrialRecord
    from raydd.tuning.synchronising import synchronise
    from raydd.tuning.warm_start import warm_started

__all__ = [
    "More",
    "Plan",
    "Progress",
    "Study",
    "StudyResult",
    "TrialRecord",
    "add_point",
    "confirm",
    "dry_run",
    "launch",
    "prepare",
    "resume",
    "run_again",
    "synchronise",
    "warm_started",
]

_HOMES = {
    "More": "extending",
    "Plan": "plan",
    "Progress": "progress",
    "Study": "studies",
    "StudyResult": "search",
    "TrialRecord": "studies",
    "add_point": "extending",
    "confirm": "search",
    "dry_run": "forecast",
    "launch": "search",
    "prepare": "plan",
    "resume": "search",
    "run_again": "rerun",
    "synchronise": "synchronising",
    "warm_started": "warm_start",
}
_ALIASES = {"confirm": "confirm_study"}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), _ALIASES.get(name, name))
