"""`Check`: what one look found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from raydd import wording
from raydd.errors import RayddError
from raydd.tuning.store_uri import redact

OK, WARNING, FAILED = "ok", "warning", "FAILED"


@dataclass(frozen=True)
class Check:
    """What was looked at and found.

    Attributes:
        name: what was looked at.
        status: `ok`, `warning` (a study runs, worse than it could) or `FAILED` (a study will not run).
        found: a phrase.
        remedy: what to do; empty where all is well.
    """

    name: str
    status: str
    found: str
    remedy: str = ""


def guarded(name: str, look: Callable[[], Iterable[Check]], remedy: str) -> list[Check]:
    """What `look` found; an exception is a failure too, and the other looks go on."""
    try:
        return list(look())
    except RayddError as error:
        found, _, advice = redact(" ".join(str(error).split())).partition("; ")
        return [Check(name, FAILED, found, advice)]
    except Exception as error:
        return [Check(name, FAILED, redact(f"{type(error).__name__}: {wording.last_line(error)}"), remedy)]
