"""Judging a distilled set: networks trained on it, and honest statistics over runs."""

from __future__ import annotations

from raydd.evaluation.evaluator import Evaluation, evaluate
from raydd.evaluation.labelling import REGIMES, carried, label_regime
from raydd.evaluation.protocols import PROTOCOLS, Protocol, names
from raydd.evaluation.statistics import Difference, Interval, holm, interval, paired, verdict

__all__ = [
    "PROTOCOLS",
    "REGIMES",
    "Difference",
    "Evaluation",
    "Interval",
    "Protocol",
    "carried",
    "evaluate",
    "holm",
    "interval",
    "label_regime",
    "names",
    "paired",
    "verdict",
]
