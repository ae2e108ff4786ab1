"""`raydd doctor`: whether this machine, its Ray and the tracking store can run a study, a line each with the remedy."""

from __future__ import annotations

from raydd.tuning.doctor.check import FAILED, OK, WARNING, Check
from raydd.tuning.doctor.examination import examine

__all__ = ["FAILED", "OK", "WARNING", "Check", "examine"]
