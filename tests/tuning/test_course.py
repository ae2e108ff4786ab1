"""What the parent run shows as trials end."""

import pytest

from raydd.config import ResourcesConfig
from raydd.tuning.course import End, figures


def test_the_best_complete_trial_so_far_is_shown_against_the_trials_that_have_ended():
    ends = [
        End(1000, "failed", None, 60.0),
        End(2000, "complete", 0.5, 1800.0),
        End(3000, "pruned", 0.9, 600.0),  # of less work, so no estimate
        End(4000, "complete", 0.4, 3600.0),
        End(5000, "complete", 0.7, 1200.0),
    ]
    found = figures(ends, ResourcesConfig(cpus_per_trial=2, gpus_per_trial=0.5))
    assert [(step, time) for _, step, time in found] == [(n, 1000 * n) for n in range(1, 6)]
    assert [metrics.get("search/val_accuracy") for metrics, *_ in found] == [None, 0.5, 0.5, 0.5, 0.7]
    last = found[-1][0]
    assert (last["trials/complete"], last["trials/pruned"], last["trials/failed"]) == (3.0, 1.0, 1.0)
    assert last["trials/diverged"] == 0.0
    assert last["cost/cpu_hours"] == pytest.approx(2 * 7260 / 3600)
    assert last["cost/gpu_hours"] == pytest.approx(0.5 * 7260 / 3600)


def test_nothing_has_ended_yet():
    assert figures([], ResourcesConfig()) == []
