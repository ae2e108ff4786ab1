"""Pictures that are put into a page: PNG files as `data:` addresses, made smaller where they are large."""

from __future__ import annotations

import base64
import io
from pathlib import Path

LONGEST = 1400  # pixels of a side


def data_address(path: Path) -> tuple[str, bool]:
    """The picture in a file as an address that holds it, and whether it had to be made smaller.

    Raises:
        OSError: there is no picture there.
    """
    from PIL import Image

    with Image.open(path) as image:
        small = max(image.size) > LONGEST
        content = path.read_bytes()
        if small:
            image.thumbnail((LONGEST, LONGEST))
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, format="PNG", optimize=True)
            content = buffer.getvalue()
    return f"data:image/png;base64,{base64.b64encode(content).decode()}", small
