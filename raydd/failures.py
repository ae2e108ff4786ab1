"""Why a trial failed, and whether trying again makes sense.

Kinds: `memory`, of the device, the host, or as Ray's memory monitor saw it; `disk`, which is full; `lost`, when a
worker or its node died; `error`, everything else, which would happen again.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raydd.errors import RayddError

RETRIES: Mapping[str, int] = {"memory": 1, "lost": 9, "error": 0}
"""Further attempts of a trial that gets no farther; one that got farther since has them all again."""

MEMORY = re.compile(
    r"out of memory|OutOfMemory|can't allocate memory|not enough memory|Cannot allocate memory|MemoryError|"
    r"bad_alloc|memory monitor|low on memory|CUBLAS_STATUS_ALLOC_FAILED"
)
LOST = re.compile(
    r"ActorDied|ActorUnavailable|WorkerCrashed|NodeDied|worker died|actor died|node .*died|preempt|"
    r"actor .* is unavailable|RPC error|Socket closed",
    re.I,
)
DISK = re.compile(r"No space left on device|Disk quota exceeded")
_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")


def kind_of(error: BaseException) -> str:
    """The kind of an error that was raised.

    A full disk may be behind an error that says where it was met, or behind one of Ray's or safetensors' own.
    """
    if any(_disk_is_full(one) for one in _behind(error)):
        return "disk"
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "memory"
    if isinstance(error, RayddError):
        return "error"
    if isinstance(error, RuntimeError) and MEMORY.search(f"{type(error).__name__} {error}"):
        return "memory"
    return "error"


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it was raised from, or while they were handled."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _disk_is_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return DISK.search(str(error)) is not None


def kind_of_text(text: str) -> str:
    """The kind of a failure of which only Ray's message is left."""
    if MEMORY.search(text):
        return "memory"
    return "lost" if LOST.search(text) else "error"


def sentence(error: BaseException) -> str:
    """One line about an error that was raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    if isinstance(error, RayddError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def verdict(failures: Sequence[Mapping[str, Any]], iteration: int) -> Mapping[str, Any] | None:
    """The failure that a trial gives up on, or None where it is worth another attempt.

    Args:
        failures: of earlier attempts, oldest first: `kind`, `why`, and `iteration`, which the attempt began at.
        iteration: of the newest checkpoint that is left.
    """
    counted = [failure for failure in failures if failure["kind"] != "disk"]
    if not counted:
        return None
    last = counted[-1]
    if last["kind"] == "error":
        return last
    in_vain = 0
    for failure in reversed(counted):
        if (failure["kind"], failure["iteration"]) != (last["kind"], last["iteration"]):
            break
        in_vain += 1
    # The last one may have got farther, if its checkpoint can be read.
    allowed = RETRIES.get(last["kind"], 0) + int(iteration > last["iteration"])
    return last if in_vain > allowed else None


def reason(kind: str, why: str) -> str:
    """What two failures have in common that have the same cause: the sentence without its numbers."""
    return f"{kind}: {_NUMBERS.sub('#', why)}"
