"""Asynchronous successive halving that knows how noisy an evaluation is.

Ray's own ASHA builds its rungs from a grace period, keeps the first value at or after a rung, treats NaN
as a survivor and kills the best of 16 noisy trials in about half the studies. This one acts only on
evaluations that lie on a rung, and stops a trial only when it is worse than the cutoff by more than
`margin` standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raydd.cadence import SMALLEST_STUDY


class MarginASHA(FIFOScheduler):
    """Stopping rule over fixed rungs, for a metric that is maximised.

    A trial at a rung is stopped when its value lies below the (1 - 1/reduction_factor) quantile of all
    values recorded there by more than `margin` standard errors of the mean over `repeats` networks. The
    error is pooled over the trials at the rung; a single repeat falls back on the binomial error of
    `validation_size` images. Nothing is stopped before 2 * reduction_factor values are recorded, in
    studies of fewer than 16 trials, and never trial 0.

    Args:
        reduction_factor: one in so many survives a rung, >= 2.
        margin: standard errors of benefit of the doubt, >= 0.
        repeats: networks per evaluation, >= 1.
        validation_size: validation images, >= 1.
        trials: trials of the study.
        note: is told every decision: rung, trial, and whether it was stopped. What was decided once stays: a trial
            that comes to its rung again, as one that was cut off behind it does, must not be judged by those that came
            later.
    """

    def __init__(
        self,
        *,
        reduction_factor: int,
        margin: float,
        repeats: int,
        validation_size: int,
        trials: int,
        note: Callable[[int, int, bool], None] | None = None,
    ) -> None:
        super().__init__()
        self.decided: dict[tuple[int, int], bool] = {}
        self.note = note
        self.reduction_factor = reduction_factor
        self.margin = margin
        self.repeats = repeats
        self.validation_size = validation_size
        self.trials = trials
        self.recorded: dict[int, dict[int, tuple[float, float]]] = {}

    def record(self, rung: int, number: int, value: float, std: float) -> None:
        """Note that trial `number` reached `rung` (thousandths) with mean `value` and net sd `std`."""
        self.recorded.setdefault(rung, {})[number] = (value, std)

    def standard_error(self, rung: int) -> float:
        """Standard error of one evaluation at `rung`, as a fraction."""
        entries = list(self.recorded[rung].values())
        stds = [std for _, std in entries if math.isfinite(std)]
        if self.repeats >= 2 and stds:
            return math.sqrt(sum(std**2 for std in stds) / len(stds) / self.repeats)
        mean = min(max(float(np.mean([value for value, _ in entries])), 0.0), 1.0)
        return math.sqrt(mean * (1.0 - mean) / self.validation_size)

    def hopeless(self, rung: int, number: int) -> bool:
        """Whether trial `number`, recorded at `rung`, should be stopped there."""
        entries = self.recorded[rung]
        if number == 0 or self.trials < SMALLEST_STUDY or len(entries) < 2 * self.reduction_factor:
            return False
        cutoff = float(
            np.quantile([value for value, _ in entries.values()], 1.0 - 1.0 / self.reduction_factor)
        )
        return entries[number][0] < cutoff - self.margin * self.standard_error(rung)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Ray's hook: decide on evaluations at rungs, let everything else pass."""
        rung = int(result.get("rung", 0))
        if not result.get("evaluated") or rung <= 0 or not math.isfinite(result["val_accuracy"]):
            return TrialScheduler.CONTINUE
        number = int(result["number"])
        if (rung, number) not in self.decided:
            self.record(rung, number, float(result["val_accuracy"]), float(result["val_accuracy_std"]))
            self.decided[rung, number] = self.hopeless(rung, number)
            if self.note is not None:
                self.note(rung, number, self.decided[rung, number])
        return TrialScheduler.STOP if self.decided[rung, number] else TrialScheduler.CONTINUE

    def debug_string(self) -> str:
        """One line about the rungs."""
        return "MarginASHA: " + ", ".join(
            f"{rung / 10:.1f} % x {len(v)}" for rung, v in self.recorded.items()
        )
