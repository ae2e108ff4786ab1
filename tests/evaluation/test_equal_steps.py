import pytest

from raydd.errors import ConfigError
from raydd.evaluation.equal_steps import optimisation_steps, other_epochs


def test_steps_are_epochs_times_batches_and_one_epoch_more_under_dsa():
    assert optimisation_steps("idc", 15, 800) == 15 * 13  # batches of 64
    assert optimisation_steps("idc", None, 64) == 1000
    assert optimisation_steps("dsa", 300, 400) == 301 * 2  # batches of 256


def test_a_smaller_set_needs_more_epochs_and_a_larger_one_fewer():
    steps = optimisation_steps("idc", 15, 800)
    assert other_epochs("idc", 15, 400, steps) == 28  # 195 steps, 7 an epoch: 27.86
    assert other_epochs("idc", 15, 100, steps) == 97  # 97.5: of two as near the smaller
    assert other_epochs("idc", 15, 6400, steps) == 2
    steps = optimisation_steps("dsa", 300, 400)
    assert other_epochs("dsa", 300, 200, steps) == 601
    assert optimisation_steps("dsa", 601, 200) == steps


def test_as_many_batches_an_epoch_need_no_other_epochs():
    steps = optimisation_steps("idc", 15, 800)
    assert other_epochs("idc", 15, 800, steps) is None
    assert other_epochs("idc", 15, 769, steps) is None  # 13 batches too
    assert other_epochs("idc", None, 100, 2000) is None


def test_numbers_below_one_are_refused():
    with pytest.raises(ConfigError, match=r"evaluation\.epochs: must be at least 1, got 0"):
        optimisation_steps("idc", 0, 10)
    with pytest.raises(ConfigError, match=r"evaluation\.steps: must be at least 1, got 0"):
        other_epochs("idc", 15, 10, 0)
