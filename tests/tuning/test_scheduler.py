import math
from types import SimpleNamespace

import numpy as np
import pytest

from raydd.tuning.scheduler import MarginASHA


def asha(**changes):
    settings = {"reduction_factor": 3, "margin": 1.0, "repeats": 2, "validation_size": 100, "trials": 16}
    return MarginASHA(**{**settings, **changes})


def result(number, value, *, rung=333, std=0.02, evaluated=1):
    return {
        "number": number,
        "val_accuracy": value,
        "val_accuracy_std": std,
        "rung": rung,
        "evaluated": evaluated,
    }


def feed(scheduler, values, **keys):
    return [
        scheduler.on_trial_result(None, SimpleNamespace(), result(number, value, **keys))
        for number, value in enumerate(values, start=1)
    ]


def test_nothing_is_stopped_before_two_reduction_factors_of_trials_reached_the_rung():
    assert feed(asha(), [0.9, 0.8, 0.7, 0.6, 0.1]) == ["CONTINUE"] * 5
    assert feed(asha(), [0.9, 0.8, 0.7, 0.6, 0.5, 0.1])[-1] == "STOP"


def test_the_margin_saves_what_lies_within_the_noise_of_the_cutoff():
    values = [0.50, 0.52, 0.54, 0.56, 0.58, 0.60]
    cutoff = np.quantile([*values, 0.545], 2 / 3)
    error = 0.02 / math.sqrt(2)
    assert cutoff - 0.545 == pytest.approx(0.015)
    assert error == pytest.approx(0.01414, abs=1e-5)
    assert feed(asha(margin=1.0), [*values, 0.545])[-1] == "STOP"
    assert feed(asha(margin=1.1), [*values, 0.545])[-1] == "CONTINUE"


def test_one_repeat_falls_back_on_the_binomial_error():
    scheduler = asha(repeats=1, validation_size=100)
    feed(scheduler, [0.5, 0.5], std=math.nan)
    assert scheduler.standard_error(333) == pytest.approx(0.05)


def test_trial_0_and_small_studies_are_never_stopped():
    scheduler = asha()
    feed(scheduler, [0.9] * 6)
    assert scheduler.on_trial_result(None, None, result(0, 0.0)) == "CONTINUE"
    assert feed(asha(trials=15), [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.0])[-1] == "CONTINUE"


def test_only_evaluations_on_rungs_count():
    scheduler = asha()
    feed(scheduler, [0.9] * 6)
    assert scheduler.on_trial_result(None, None, result(7, 0.0, evaluated=0)) == "CONTINUE"
    assert scheduler.on_trial_result(None, None, result(7, 0.0, rung=0)) == "CONTINUE"
    assert scheduler.on_trial_result(None, None, result(7, math.nan)) == "CONTINUE"
    assert set(scheduler.recorded[333]) == {1, 2, 3, 4, 5, 6}


def test_rungs_are_compared_each_with_itself():
    scheduler = asha()
    feed(scheduler, [0.9] * 6, rung=111)
    assert scheduler.on_trial_result(None, None, result(7, 0.1, rung=333)) == "CONTINUE"
    assert scheduler.on_trial_result(None, None, result(8, 0.1, rung=111)) == "STOP"


def test_the_best_of_noisy_equal_trials_survives_far_more_often_with_the_margin():
    generator = np.random.default_rng(0)

    def killed(margin):
        count = 0
        for _ in range(200):
            truth = np.full(16, 0.60)
            truth[8] = 0.61
            seen = truth + generator.normal(0, 0.02, (2, 16))
            decisions = feed(asha(margin=margin, trials=16), list(seen.mean(axis=0)))
            count += decisions[8] == "STOP"
        return count / 200

    assert killed(0.0) > 0.3
    assert killed(2.0) < 0.1


def test_what_was_decided_stays_and_is_told_once():
    told = []
    scheduler = asha(note=lambda *decision: told.append(decision))
    feed(scheduler, [0.1, 0.8, 0.8])
    feed(scheduler, [0.1, 0.8, 0.8, 0.9, 0.9, 0.9, 0.9])
    assert scheduler.hopeless(333, 1)
    assert (
        scheduler.on_trial_result(None, None, result(1, 0.1)) == "CONTINUE"
    )  # it came before there were enough
    assert told == [(333, number, False) for number in range(1, 8)]
    scheduler.decided[111, 3] = True
    assert scheduler.on_trial_result(None, None, result(3, 0.9, rung=111)) == "STOP"
