"""`make chaos`: kills at random moments, many in one study; RAYDD_CHAOS_SEED draws others."""

from __future__ import annotations

import functools
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LONG = 35.0  # seconds of a trial, where two run at once


def gone(study: Any) -> bool:
    """Whether none of the study's workers is left."""
    return not study.workers()


def working(study: Any) -> bool:
    """Whether a trial runs, or the driver has ended."""
    return not study.alive() or bool(study.workers()) or study.study.report() is not None


def test_a_driver_that_is_killed_at_twenty_random_moments(
    chaos: Callable[..., Any],
    wait_for: Callable[..., Any],
    lasting: Callable[[float], int],
    moments: random.Random,
) -> None:
    study = chaos("drivers", iterations=lasting(LONG))
    kills = 0
    while kills < 20:
        study.start()
        if moments.random() < 0.75:  # the others die while they load data, start Ray or read the journal
            wait_for(functools.partial(working, study), what="a worker")
        end = time.monotonic() + moments.uniform(0.0, 12.0)
        while study.alive() and time.monotonic() < end:
            time.sleep(0.05)
        if not study.alive():
            if study.wait() == 0:
                # All is done and reported; so the kills that are left hit a study of another name.
                study.check(kills=kills, sessions=len(study.exits))
                study = chaos(f"drivers-{kills}", iterations=lasting(LONG))
            continue
        study.kill()
        kills += 1
        wait_for(functools.partial(gone, study), what="the end of the workers")
    study.finish()
    study.check(kills=kills, sessions=len(study.exits))


def test_processes_of_trials_that_are_killed_twenty_times(
    chaos: Callable[..., Any], lasting: Callable[[float], int], moments: random.Random
) -> None:
    study = chaos("workers", iterations=lasting(2.5 * LONG), search__trials=3)
    study.start()
    kills = 0
    early: dict[int, bool] = {}  # whether a process may die before its first report
    while kills < 20 and study.alive():
        time.sleep(moments.uniform(0.5, 8.0))
        workers = study.workers()
        for pid in workers.values():
            # Ten in a row that get nowhere end a trial, as they should; a busy machine takes long to start one.
            early.setdefault(pid, moments.random() < 0.3)
        mortal = [number for number, pid in workers.items() if early[pid] or study.has_reported(number)]
        if mortal:
            os.kill(workers[moments.choice(sorted(mortal))], signal.SIGKILL)
            kills += 1
    assert study.wait(seconds=2400) == 0, study.tail()
    assert kills == 20
    account = study.check(kills=kills)
    assert account["attempts"] > account["asked"]


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_driver_that_is_asked_to_end_leaves_checkpoints_and_loses_no_iteration(
    chaos: Callable[..., Any],
    wait_for: Callable[..., Any],
    lasting: Callable[[float], int],
    moments: random.Random,
    kind: signal.Signals,
) -> None:
    study = chaos(f"asked-{kind.name.lower()}", iterations=lasting(LONG))
    for _ in range(3):
        study.start()
        wait_for(lambda: not study.alive() or study.workers(), what="a worker")
        time.sleep(moments.uniform(0.0, 10.0))
        if not study.alive():
            break
        assert study.kill(kind) in (0, 130 if kind == signal.SIGINT else 75), study.tail()
    study.finish()
    account = study.check(exits=study.exits)
    assert account["reports_made_twice"] == 0


def test_a_worker_that_hangs_costs_a_minute_and_not_its_trial(
    chaos: Callable[..., Any], wait_for: Callable[..., Any], lasting: Callable[[float], int]
) -> None:
    study = chaos("hung", search__trials=2, search__concurrency=1, iterations=lasting(LONG))
    study.start()
    wait_for(lambda: study.reached(0, 0.15), what="the report of trial 0")
    os.kill(study.workers()[0], signal.SIGSTOP)
    begun = time.monotonic()
    assert study.kill(signal.SIGTERM) == 75, study.tail()
    seconds = time.monotonic() - begun
    wait_for(functools.partial(gone, study), what="the end of the worker")
    study.finish()
    study.check(seconds_to_end=round(seconds))
    assert seconds < 180  # a minute for a checkpoint, and what a busy machine takes to end


def test_the_newest_checkpoint_is_damaged(
    chaos: Callable[..., Any], wait_for: Callable[..., Any], lasting: Callable[[float], int]
) -> None:
    study = chaos("damaged", iterations=lasting(LONG))
    study.start()
    wait_for(lambda: study.reached(0, 0.3) and study.reached(1, 0.3), what="the reports of both trials")
    workers = study.workers()
    study.kill()
    wait_for(lambda: not study.workers(), what="the end of the workers")
    damaged = {}
    for number in workers:
        newest = study.study.trial_files(number).checkpoints()[0]
        path = newest.folder / "state.safetensors"
        path.write_bytes(path.read_bytes()[:-100])
        damaged[number] = newest.iteration
    study.finish()
    study.check(damaged=damaged)
    for number, iteration in damaged.items():
        assert 0 < study.study.trial_files(number).begun(2)["iteration"] < iteration
