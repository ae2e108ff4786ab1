"""The papers' own figures, drawn from studies, and the same for any hyperparameter of any method."""

from raydd.report.figures.choice import Choice
from raydd.report.figures.kinds import KINDS, draw, find
from raydd.report.figures.style import check_out, save

__all__ = ["KINDS", "Choice", "check_out", "draw", "find", "save"]
