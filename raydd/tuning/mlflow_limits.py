"""What MLflow takes: lengths and the size of a batch, and values brought into that form."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raydd.tuning.store_uri import redact

METRICS = 1000  # in one call
# Characters (mlflow/utils/validation.py)
KEY, PARAM, TAG, DIGEST = 250, 6000, 8000, 36


def clean(name: str) -> str:
    """`name` as a key that MLflow takes: other characters replaced, no path that leaves its folder."""
    name = re.sub(r"[^\w./\- :]", "_", name)
    if name != os.path.normpath(name) or name.startswith(("/", "..")):
        name = name.replace("/", "_").lstrip(".") or "_"
    return name[:KEY]


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Params of nested values: names joined by a dot, values as text without passwords."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            text = json.dumps(value, default=str) if isinstance(value, (list, tuple)) else str(value)
            yield clean(f"{prefix}{name}"), cut(redact(text), PARAM)


def cut(text: str, limit: int) -> str:
    """`text`, its end replaced by `…` where it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Consecutive parts of at most `size` items."""
    return (items[start : start + size] for start in range(0, len(items), size))


def same(old: float | None, new: float) -> bool:
    """Whether a figure has not changed; NaN equals NaN here."""
    return old is not None and (old == new or (math.isnan(old) and math.isnan(new)))


def now() -> int:
    """Milliseconds since 1970, MLflow's unit."""
    return time.time_ns() // 1_000_000
