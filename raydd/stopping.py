"""Asking long loops to stop: they call `check`, and whoever runs them has said how to find out whether to go on.

A trial that is asked to stop must not wait for the end of an evaluation that takes minutes, and the loops of training
and distillation know nothing of studies. So they ask here, once per step.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

INTERVAL = 0.5  # seconds between two questions: the answer lies on a disk that may be far away


class Stopped(BaseException):
    """Raised by `check`; no `Exception`, so that nothing but who asked for it catches it."""


_wanted: Callable[[], bool] | None = None
_next = 0.0


@contextlib.contextmanager
def asking(wanted: Callable[[], bool]) -> Iterator[None]:
    """Within the block `check` raises `Stopped` once `wanted()` is true; it is asked twice a second at most."""
    global _wanted, _next
    outer, _wanted, _next = _wanted, wanted, 0.0
    try:
        yield
    finally:
        _wanted = outer


def check() -> None:
    """Raise `Stopped` if somebody wants this process's work to stop; cheap, to be called once per step."""
    global _next
    if _wanted is None:
        return
    now = time.monotonic()
    if now >= _next:
        _next = now + INTERVAL
        if _wanted():
            raise Stopped


@contextlib.contextmanager
def not_asking() -> Iterator[None]:
    """Within the block `check` never raises: the work in it is whole or has not begun."""
    global _wanted
    outer, _wanted = _wanted, None
    try:
        yield
    finally:
        _wanted = outer
