"""The search: plan, Ray, Optuna, MLflow and confirmation. Its functions are imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raydd.tuning.plan import Plan, prepare
    from raydd.tuning.progress import Progress
    from raydd.tuning.search import StudyResult, launch, resume
    from raydd.tuning.search import confirm_study as confirm
    from raydd.tuning.studies import Study, TrialRecord

__all__ = [
    "Plan",
    "Progress",
    "Study",
    "StudyResult",
    "TrialRecord",
    "confirm",
    "launch",
    "prepare",
    "resume",
]

_HOMES = {
    "Plan": "plan",
    "Progress": "progress",
    "Study": "studies",
    "StudyResult": "search",
    "TrialRecord": "studies",
    "confirm": "search",
    "launch": "search",
    "prepare": "plan",
    "resume": "search",
}
_ALIASES = {"confirm": "confirm_study"}


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), _ALIASES.get(name, name))
