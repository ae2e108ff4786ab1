"""`contact_sheet`: previews of several distilled sets on one picture, each under its label."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raydd.storage.preview import GAP, TILE

ACROSS = 4  # previews in a row
LONGEST = 420  # pixels of a preview's side; larger ones are made smaller
SHOWN_ROWS = 10  # classes of a preview that is taller than wide
MARGIN = 12
TEXT = 15  # pixels of a letter
NARROWEST = 150  # pixels, so that a label has room under a preview of one image per class


def contact_sheet(title: str, previews: Sequence[tuple[str, Path]]) -> bytes:
    """Previews side by side, best first.

    Args:
        title: stands above them.
        previews: label and PNG file of each, see `preview_grid`; of one that is taller than wide the first ten rows
            are shown, and a large one is made smaller.

    Returns:
        The bytes of a PNG file, RGB on white.

    Raises:
        ValueError: there are no previews.
        OSError: a file cannot be read as an image.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not previews:
        raise ValueError("a contact sheet needs at least one preview")
    cells = [(label, _shown(Image, path)) for label, path in previews]
    rows = [cells[start : start + ACROSS] for start in range(0, len(cells), ACROSS)]
    font = ImageFont.load_default(TEXT)
    columns = [
        max([NARROWEST, *(row[column][1].width for row in rows if column < len(row))])
        for column in range(len(rows[0]))
    ]
    heights = [max(image.height for _, image in row) for row in rows]
    line = TEXT + MARGIN
    width = max(sum(columns) + MARGIN * (len(columns) + 1), int(font.getlength(title)) + 2 * MARGIN)
    sheet = Image.new("RGB", (width, line + sum(heights) + len(rows) * (line + MARGIN)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN // 2), title, fill="black", font=font)
    top = line
    for row, height in zip(rows, heights):
        left = MARGIN
        for (label, image), column in zip(row, columns):
            draw.text((left, top + MARGIN // 2), label, fill="black", font=font)
            sheet.paste(image, (left, top + line))
            left += column + MARGIN
        top += height + line + MARGIN
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()


def _shown(pillow: Any, path: Path) -> Any:
    image = pillow.open(path).convert("RGB")
    tallest = max(image.width, SHOWN_ROWS * (TILE + GAP) + GAP)
    image = image.crop((0, 0, image.width, min(image.height, tallest)))
    scale = min(1.0, LONGEST / max(image.size))
    if scale == 1.0:
        return image
    return image.resize((round(image.width * scale), round(image.height * scale)), pillow.Resampling.LANCZOS)
