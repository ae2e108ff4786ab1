"""The one `tune.Trainable`: it lets Ray Tune run trials (`trainables.run`), and says how they failed.

The configuration that Ray carries is the folder of the study, the trial's number and the driver's session, nothing
else, and Ray's own checkpoints are not used: a trial that is started again goes on from its folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray import tune

from raydd import failures
from raydd.storage.trial import TrialFiles
from trainables.run import Superseded, TrialRun


class DistillTrainable(tune.Trainable):
    """A trial: `step` runs to the next milestone and reports; see `raydd.cadence`.

    An error is written into the attempt's folder and raised, so that Ray takes another process for what comes next:
    this trial's next attempt, which gives up at once where another one makes no sense, or the next trial.
    """

    def setup(self, config: Mapping[str, Any]) -> None:
        """Open the trial `config["number"]` of the study in folder `config["study"]`."""
        study, number, session = Path(config["study"]), int(config["number"]), int(config["session"])
        self.trial_run: TrialRun | None = None
        self.ending: dict[str, Any] = {}
        trial = TrialFiles(study / "trials" / str(number))
        checkpoints = trial.checkpoints()
        iteration = checkpoints[0].iteration if checkpoints else 0
        failed = [failure for failure in trial.failures() if failure["session"] == session]
        last = failures.verdict(failed, iteration)
        if last is not None:
            self.ending = ending(number, iteration, "failed", last["kind"], last["why"])
            return
        try:
            self.trial_run = TrialRun(study, number, session=session, node=node_id())
        except Exception as error:
            if failures.kind_of(error) != "disk":
                raise
            self.ending = ending(number, iteration, "interrupted", "disk", failures.sentence(error))

    def reset_config(self, new_config: Mapping[str, Any]) -> bool:
        """Let a reused actor take up the next trial."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run to the next milestone: a report, a rung, or the end."""
        if self.trial_run is None:
            return self.ending
        try:
            return self.trial_run.next_report()
        except Superseded:
            raise
        except Exception as error:
            if (
                failures.kind_of(error) == "disk"
            ):  # it is not the trial's fault, and it cannot be written down
                return ending(
                    self.trial_run.number,
                    self.trial_run.iteration,
                    "interrupted",
                    "disk",
                    failures.sentence(error),
                )
            self.trial_run.failed(error)
            raise


def node_id() -> str:
    """The Ray node that this process runs on; empty without Ray."""
    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else ""


def ending(number: int, iteration: int, outcome: str, kind: str, why: str) -> dict[str, Any]:
    """The last report of a trial that cannot go on."""
    return {
        "number": number,
        "iteration": iteration,
        "evaluated": 0,
        "rung": -1,
        "val_accuracy": math.nan,
        "val_accuracy_std": math.nan,
        "outcome": outcome,
        "kind": kind,
        "why": why,
        "done": True,
    }
