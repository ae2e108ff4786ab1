"""The figures of a confirmation on the study's parent run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def headline(report: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """What a report says on the study's parent run, metrics and tags, the confirmed figure as the headline."""
    net = report["arms"][0]["net"]
    metrics: dict[str, float] = {}
    for arm in report["arms"]:
        if arm["net"] == net:
            prefix = "confirmed" if arm["name"] == "winner" else arm["name"]
            shown = {"test_accuracy": arm["mean"], "low": arm["low"], "high": arm["high"]}
            if arm["equal_steps"] is not None:
                shown["equal_steps_test_accuracy"] = arm["equal_steps"]["mean"]
            if arm["label_regime"] == "soft":
                shown |= soft_metrics(arm)
            metrics |= {f"{prefix}/{name}": value for name, value in shown.items() if math.isfinite(value)}
    return metrics, {"raydd.winner": str(report["winner"]["trial"]), "raydd.labels": report["label_regime"]}


def soft_metrics(arm: Mapping[str, Any]) -> dict[str, float]:
    """What stands beside an arm's soft-label accuracy in MLflow, as far as it was measured."""
    found = {
        "hard_test_accuracy": (arm["hard"] or {}).get("mean"),
        "hlr": (arm["hlr"] or {}).get("mean"),
        "ior": (arm["ior"] or {}).get("mean"),
        "teacher_test_accuracy": arm["teacher"]["test_accuracy"],
    }
    return {name: value for name, value in found.items() if value is not None}
