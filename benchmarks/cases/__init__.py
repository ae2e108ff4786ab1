"""The cases, one module for each kind of work; a module here with a tuple `CASES` is found by itself.

A case imports torch inside functions only, so that `--list` and the process that keeps time stay light, reaches
raydd through `benchmarks.ours`, and has its reference loop in `benchmarks.reference`.
"""

from __future__ import annotations

import importlib
import pkgutil

from benchmarks.case import Case


def found() -> dict[str, Case]:
    """All cases by name, sorted."""
    cases: list[Case] = []
    for module in pkgutil.iter_modules(__path__):
        cases += importlib.import_module(f"{__name__}.{module.name}").CASES
    return {case.name: case for case in sorted(cases, key=lambda case: case.name)}
