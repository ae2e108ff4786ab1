"""The simulation of stopping early, where its result can be said beforehand."""

import numpy as np
import pytest

from benchmarks.pruning import World, study


@pytest.mark.parametrize("at_once", [1, 4])
def test_small_studies_do_all_the_work(at_once):
    assert study(World(15, at_once), np.random.default_rng(0)) == (1.0, True)


def test_without_noise_the_best_is_kept_and_work_is_saved():
    ends = [study(World(32, 4, noise=1e-9), np.random.default_rng(seed)) for seed in range(10)]
    assert all(kept for _, kept in ends)
    assert all(1 / 27 <= work < 0.6 for work, _ in ends)


def test_trials_that_are_all_alike_are_not_stopped_for_their_noise_alone():
    noisy = [
        study(World(32, 4, spread=0.0, noise=0.02), np.random.default_rng(seed))[0] for seed in range(10)
    ]
    clear = [
        study(World(32, 4, spread=0.05, noise=0.001), np.random.default_rng(seed))[0] for seed in range(10)
    ]
    assert sum(noisy) > sum(clear)
