"""Kills at fixed points, in every `make test`; `make chaos` has the many at random moments."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from raydd.cli import main

pytestmark = pytest.mark.integration


def test_a_trials_process_and_then_the_driver_are_killed_and_the_study_goes_on(
    chaos: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    """The trial goes on from its checkpoint, and the driver leaves no lock and no process."""
    study = chaos("killed", iterations=900, search__trials=2, confirm__baselines=[])
    study.start()
    wait_for(lambda: study.reached(0, 0.3), what="the report of trial 0")
    os.kill(study.workers()[0], signal.SIGKILL)
    trial = study.study.trial_files(0)
    wait_for(lambda: not study.alive() or trial.attempts()[-1] == 2, what="the second attempt of trial 0")
    wait_for(lambda: not study.alive() or study.has_reported(0), what="its checkpoint")
    refused = CliRunner().invoke(main, ["resume", "killed", "--home", str(study.study.home)])
    assert refused.exit_code == 2
    assert f"is in use by process {study.process.pid} on " in refused.stderr
    assert study.workers()
    assert study.kill() == -signal.SIGKILL
    wait_for(lambda: not study.workers(), what="the end of the workers")
    study.finish()
    account = study.check()
    assert account["attempts"] in (4, 5)  # trial 0 was cut off twice, and trial 1 once where it still ran
    (failure,) = trial.failures()
    assert (failure["kind"], failure["why"]) == ("lost", "its worker process or its node died")
    assert trial.begun(2)["iteration"] >= 45  # its first report, at least
    assert trial.begun(3)["iteration"] > trial.begun(2)["iteration"]
    assert "trial 0: its worker process or its node died; it is tried again" in study.tail(400)
    assert "(raylet)" not in study.log.read_text()
