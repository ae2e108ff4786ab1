import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from raydd.report.page.scales import Scale, scale, scales


def test_a_logarithmic_axis_has_its_middle_at_the_geometric_mean_and_powers_of_ten():
    axis = scale("lr", [0.1, 1.0], FloatDistribution(1e-4, 1.0, log=True))
    assert (axis.kind, axis.low, axis.high) == ("log", 1e-4, 1.0)
    assert axis.place(0.01) == pytest.approx(0.5)
    assert axis.value(0.5) == pytest.approx(0.01)
    assert [label for _, label in axis.ticks()] == ["0.0001", "0.001", "0.01", "0.1", "1"]


def test_an_axis_spans_a_published_setting_that_lies_outside_of_what_is_searched():
    axis = scale("x", [0.5, 3.0], FloatDistribution(0.0, 1.0))
    assert (axis.low, axis.high) == (0.0, 3.0)
    assert axis.place(3.0) == 1.0


def test_whole_numbers_have_whole_ticks():
    axis = scale("k", [1, 2, 3], IntDistribution(1, 3))
    assert [label for _, label in axis.ticks()] == ["1", "2", "3"]


def test_categories_lie_side_by_side_and_what_is_none_of_them_lies_nowhere():
    axis = scale("form", ["sum"], CategoricalDistribution(["sum", "hinge"]))
    assert axis.place("sum") == 0.25
    assert axis.place("hinge") == 0.75
    assert axis.place("other") is None
    assert scale("flag", [True, False]).choices == ("False", "True")


def test_a_name_that_is_not_drawn_is_logarithmic_where_its_values_are_far_apart():
    assert scale("beta", [0.001, 1.0]).kind == "log"
    assert scale("beta", [1.0, 2.0]).kind == "linear"
    assert scale("beta", [-1.0, 100.0]).kind == "linear"


def test_an_axis_of_one_value_has_it_in_the_middle():
    axis = Scale("x", "linear", 2.0, 2.0)
    assert axis.place(2.0) == 0.5
    assert axis.ticks() == [(0.5, "2")]


def test_a_hyperparameter_that_one_trial_alone_has_gets_an_axis_too():
    found = scales([{"a": 1.0}, {"a": 2.0, "only": 0.5}], {})
    assert set(found) == {"a", "only"}
