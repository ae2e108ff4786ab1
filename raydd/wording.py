"""How raydd speaks to people: percent with one decimal, hyperparameters on one line, durations, and a warning that
several verbs give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NOTHING = "-"


def percent(fraction: float | None) -> str:
    """A fraction in [0, 1] as percent with one decimal, without a sign: `0.5234` is `52.3`; unknown is `-`."""
    if fraction is None or not math.isfinite(fraction):
        return NOTHING
    return f"{100 * fraction:.1f}"


def share(fraction: float) -> str:
    """A fraction as whole percent, for shares of time or of a sum: `0.214` is `21 %`."""
    return f"{100 * fraction:.0f} %"


def points(difference: float | None) -> str:
    """A difference of fractions as signed points with one decimal: `0.031` is `+3.1`; unknown is `-`."""
    if difference is None or not math.isfinite(difference):
        return NOTHING
    return f"{100 * difference:+.1f}"


def value(scalar: Any) -> str:
    """A hyperparameter's value: floats with four significant digits, None as `null`, all else as it is."""
    if scalar is None:
        return "null"
    return f"{scalar:.4g}" if isinstance(scalar, float) else str(scalar)


def hyperparameters(values: Mapping[str, Any]) -> str:
    """`name=value` pairs on one line, sorted by name: `lambda_cc=0.05 lr_img=1`."""
    return " ".join(f"{name}={value(values[name])}" for name in sorted(values)) or NOTHING


def last_line(error: BaseException) -> str:
    """The last line of an error's message, or its type: what Ray's long messages come down to."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def duration(seconds: float | None) -> str:
    """Seconds as people read them: `8.4 s`, `3 min 05 s`, `2 h 07 min`; unknown is `-`."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def recovery(hyperparameters: Mapping[str, Any], iterations: int, total: int) -> str | None:
    """The iterations of a set whose images are recovered one after the other: `20 iterations an image, 40 in all`.

    Args:
        hyperparameters: of the set; other methods have no `recover_iterations`, and None is what this gives for them.
        iterations: of an image where `recover_iterations` is None.
        total: iterations of all images.
    """
    if "recover_iterations" not in hyperparameters:
        return None
    each = hyperparameters["recover_iterations"] or iterations
    return f"{each} iterations an image, {total} in all"


def on_train(teacher: Mapping[str, Any]) -> str:
    """A teacher's accuracy on training images, of which only so many were asked: empty where its facts lack it."""
    accuracy = teacher.get("train_accuracy")
    if not isinstance(accuracy, float):
        return ""
    return f"{percent(accuracy)} % on at most 2,000 training images"


def size(count: int) -> str:
    """A number of bytes in the unit that leaves one to three digits before the point: `31.4 kB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def seen_elsewhere(net: str) -> str:
    """What a network whose weights were trained elsewhere does to the figures that rest on it."""
    return (
        f"Warning: {net} has weights that were trained elsewhere. It may have seen validation and test images: search "
        "estimates and test figures that rest on it may be too high, and are not to be put beside others."
    )
