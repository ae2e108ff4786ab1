import pytest

from raydd.cadence import Cadence, rungs, thousandths


def test_rungs_are_powers_of_the_reduction_factor_above_the_floor():
    assert rungs(3, 0.0) == pytest.approx([1 / 27, 1 / 9, 1 / 3])
    assert rungs(2, 0.25) == pytest.approx([0.25, 0.5])
    assert rungs(4, 0.5) == ()


def test_every_rung_is_crossed_exactly_once_at_the_first_iteration_that_reaches_it():
    cadence = Cadence.of(200, scheduler="asha", reduction_factor=3, progress_floor=0.0)
    crossed = {}
    for iteration in range(200):
        rung = cadence.rung_crossed(iteration / 200, (iteration + 1) / 200)
        if rung is not None:
            crossed[rung] = iteration + 1
    assert crossed == {37: 8, 111: 23, 333: 67}


def test_a_rung_that_falls_on_an_iteration_is_crossed_there_despite_rounding():
    cadence = Cadence((1 / 3,), 1)
    assert cadence.rung_crossed(99 / 300, 100 / 300) == 333
    assert cadence.rung_crossed(100 / 300, 101 / 300) is None


def test_a_step_over_two_rungs_counts_for_the_higher():
    assert Cadence((0.1, 0.2), 1).rung_crossed(0.0, 0.5) == 200


def test_without_a_scheduler_there_are_no_rungs():
    assert Cadence.of(200, scheduler="none", reduction_factor=3, progress_floor=0.0).rungs == ()


def test_about_twenty_reports_whatever_the_length():
    assert [
        Cadence.of(n, scheduler="none", reduction_factor=3, progress_floor=0).report_every
        for n in (1, 20, 21, 20_000)
    ] == [1, 1, 2, 1000]


def test_thousandths():
    assert thousandths(1 / 3) == 333
