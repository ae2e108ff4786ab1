"""A table of studies as papers print it: published, carried over, tuned base, tuned method."""

from raydd.report.table.rows import Cell, Row, rows
from raydd.report.table.text import FORMATS, render

__all__ = ["FORMATS", "Cell", "Row", "render", "rows"]
