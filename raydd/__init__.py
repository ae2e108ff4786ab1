"""raydd: hyperparameter search for dataset distillation. Tuned on validation, reported on test.

>>> import raydd
>>> data = raydd.load_data("digits")
>>> distilled = raydd.distill("dm", data, ipc=1, iterations=2)
>>> tuple(distilled.images().shape)
(10, 1, 8, 8)

Everything below is imported when it is first used, so that `import raydd` and `raydd --help` stay fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raydd import measures
    from raydd.api import distill, evaluate, load_data, resume, search
    from raydd.config import StudyConfig
    from raydd.distillation import losses
    from raydd.errors import RayddError
    from raydd.storage import DistilledSet

__version__ = "0.1.0"

__all__ = [
    "DistilledSet",
    "RayddError",
    "StudyConfig",
    "distill",
    "evaluate",
    "load_data",
    "losses",
    "measures",
    "resume",
    "search",
]

_HOMES = {
    "DistilledSet": "raydd.storage",
    "RayddError": "raydd.errors",
    "StudyConfig": "raydd.config",
    "distill": "raydd.api",
    "evaluate": "raydd.api",
    "load_data": "raydd.api",
    "resume": "raydd.api",
    "search": "raydd.api",
}

_MODULES = {"losses": "raydd.distillation.losses", "measures": "raydd.measures"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'raydd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
