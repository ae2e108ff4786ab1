"""Cells of multi-formation and of partition: which factors leave a pixel in each.

It is the rule of `raydd.formation.check_decode`, without its torch.
"""

from __future__ import annotations

MOST = 8
"""Largest factor that a method takes."""
SEARCHED = (1, 2, 3)


def cell_side(size: int, factor: int) -> int:
    """Side in pixels of a cell of an image of `size` px, rounded up."""
    return -(-size // factor)


def fits(factor: int, size: int, form: str = "single") -> bool:
    """Whether every cell holds a pixel of the image; the forms other than `single` cut by smaller factors too."""
    cut = (factor,) if form == "single" else range(1, factor + 1)
    return all((each - 1) * cell_side(size, each) < size for each in cut)


def offered(size: int) -> list[int]:
    """The factors to search for images of `size` px; 1 is always among them."""
    return [factor for factor in SEARCHED if fits(factor, size)]
