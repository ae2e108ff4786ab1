"""Tables as plain text, for files, pipes and comments."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 1000  # wide enough that no row is wrapped, so that `grep` finds whole rows


def plain(renderable: RenderableType) -> str:
    """What rich would print, without colour, trailing blanks or empty lines, and without a newline at the end."""
    buffer = io.StringIO()
    Console(file=buffer, width=WIDTH, color_system=None, highlight=False, markup=False).print(renderable)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines() if line.strip())
