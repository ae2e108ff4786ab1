import math

import pytest

from raydd import wording


def test_percent_has_one_decimal_and_unknown_is_a_dash():
    assert [wording.percent(x) for x in (0.5234, 1.0, 0.0, None, math.nan)] == [
        "52.3",
        "100.0",
        "0.0",
        "-",
        "-",
    ]


def test_points_carry_their_sign():
    assert [wording.points(x) for x in (0.031, -0.0004, None)] == ["+3.1", "-0.0", "-"]


def test_hyperparameters_are_sorted_and_short():
    assert wording.hyperparameters({"b": 0.000123456, "a": 3, "c": "sum"}) == "a=3 b=0.0001235 c=sum"
    assert wording.hyperparameters({}) == "-"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.44, "8.4 s"), (185, "3 min 05 s"), (59.96, "60.0 s"), (7620, "2 h 07 min"), (None, "-")],
)
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(999, "999 B"), (31_400, "31.4 kB"), (2_000_000, "2.0 MB")])
def test_sizes(count, text):
    assert wording.size(count) == text
