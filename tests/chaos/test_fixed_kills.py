"""Kills at fixed points, that of a driver in every `make test`; `make chaos` has the many at random moments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.integration
def test_a_driver_that_is_killed_leaves_no_lock_and_no_process_and_its_study_goes_on(
    chaos: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    study = chaos("driver", search__trials=3)
    study.start()
    wait_for(lambda: study.reached(1, 0.1), what="the report of trial 1")
    refused = subprocess.run(
        [sys.executable, "-m", "raydd", "resume", "driver", "--home", str(study.study.home)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert refused.returncode == 2
    assert f"is in use by process {study.process.pid} on " in refused.stderr
    assert study.workers()
    assert study.kill() == -signal.SIGKILL
    wait_for(lambda: not study.workers(), what="the end of the workers")
    study.finish()
    account = study.check()
    assert account["attempts"] in (4, 5)  # one or two of the three trials ran, and were cut off once


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_goes_on_from_its_checkpoint(
    chaos: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    study = chaos("worker", search__trials=2)
    study.start()
    wait_for(lambda: study.reached(0, 0.3), what="the report of trial 0")
    os.kill(study.workers()[0], signal.SIGKILL)
    assert study.wait() == 0, study.tail()
    account = study.check()
    assert account["attempts"] == 3
    (failure,) = study.study.trial_files(0).failures()
    assert (failure["kind"], failure["why"]) == ("lost", "its worker process or its node died")
    assert study.study.trial_files(0).begun(2)["iteration"] >= 75  # its first report, at least
    assert "trial 0: its worker process or its node died; it is tried again" in study.tail(200)
    assert "(raylet)" not in study.log.read_text()
