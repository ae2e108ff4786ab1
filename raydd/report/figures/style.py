"""How all figures look: one set of colours, fonts and axes, and how they become files."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raydd import files
from raydd.errors import ConfigError, unknown

FORMATS = ("png", "svg", "pdf")
DPI = 200
WIDTH = 5.0
"""Inches of a figure with one panel: a column and a half of a two-column paper."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which people with any kind of colour vision tell apart."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
CLASSES = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
"""Petroff's ten (arXiv 2107.02270), for classes."""

HEAT = "cividis"  # even in lightness, and alike to people with any kind of colour vision
GREY = "#666666"
SEARCH_ESTIMATE = "validation accuracy, %\n(search estimate)"
LEAST_SPAN = 0.01
"""Fractions that colours or an axis span at the least: a tenth of a point must not look like a difference."""

RC = {
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # text stays text
    "svg.hashsalt": "raydd",  # equal figures are equal files
}


@contextmanager
def styled() -> Iterator[Any]:
    """matplotlib's pyplot with the style of all figures; figures are drawn without a display."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(RC):
        yield pyplot


def panels(
    pyplot: Any, count: int = 1, width: float = WIDTH, height: float = 3.4, **more: Any
) -> tuple[Any, list[Any]]:
    """A figure with panels side by side, and its axes from left to right."""
    figure, axes = pyplot.subplots(
        1, count, figsize=(width, height), squeeze=False, layout="constrained", **more
    )
    return figure, list(axes[0])


def percent(axis: Any) -> None:
    """Let an axis of fractions show percent, all ticks with one decimal or none with any."""
    from matplotlib.ticker import Formatter, MaxNLocator

    class Percent(Formatter):
        def __call__(self, fraction: float, pos: int | None = None) -> str:
            return f"{100 * fraction:.1f}"

        def format_ticks(self, values: Sequence[float]) -> list[str]:
            whole = all(abs(100 * value - round(100 * value)) < 1e-6 for value in values)
            return [f"{100 * value:.{0 if whole else 1}f}" for value in values]

    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], min_n_ticks=3))
    axis.set_major_formatter(Percent())


def span(values: Iterable[float]) -> tuple[float, float]:
    """Lowest and highest of fractions, apart by `LEAST_SPAN` at the least; NaN is passed over."""
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known), max(known)
    more = max(0.0, LEAST_SPAN - (high - low)) / 2
    return low - more, high + more


def caption(figure: Any, title: str, said: str) -> None:
    """The title of a figure, and in grey below it what its marks mean: n, intervals, which data."""
    import textwrap

    letters = int(figure.get_figwidth() * 17.5)
    lines = textwrap.wrap(said, letters)
    figure.suptitle(title, fontsize=10.5, fontweight="bold", x=0.02, ha="left")
    figure.supxlabel("\n".join(lines), fontsize=7.5, color=GREY, x=0.02, ha="left")


def check_out(out: Path) -> None:
    """Refuse a file whose name does not say a format.

    Raises:
        ConfigError: which formats there are.
    """
    form = out.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise ConfigError(f"--out: {unknown('format', form, FORMATS)} of {out.name!r}")


def save(figure: Any, out: Path) -> None:
    """Write a figure whole, without the time in it; the suffix says the format.

    Raises:
        ConfigError: the file cannot be written.
    """
    form = out.suffix.removeprefix(".").lower()
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    with styled():
        figure.savefig(buffer, format=form, dpi=DPI, metadata=metadata)
    try:
        files.write_bytes(out, buffer.getvalue())
    except OSError as error:
        raise ConfigError(f"--out: {out} cannot be written: {error.strerror}") from None


def colours(count: int) -> Sequence[str]:
    """Colours of so many lines; they are repeated after seven."""
    return [COLOURS[number % len(COLOURS)] for number in range(count)]
