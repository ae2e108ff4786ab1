"""A study whose trials all fail alike is given up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from raydd.tuning.abort import AbortRule


def ended(*outcomes: str) -> list[Any]:
    return [SimpleNamespace(outcome=outcome) for outcome in outcomes]


def told(rule: AbortRule, *ends: tuple[str, str, str]) -> list[str | None]:
    return [rule.ended(*end) for end in ends]


def test_three_failures_with_one_reason_end_the_study_and_the_reason_is_said() -> None:
    ends = [("failed", "error", f"ValueError: trial {number} is odd") for number in range(3)]
    assert told(AbortRule([]), *ends) == [
        None,
        None,
        "all 3 trials failed for the same reason: ValueError: trial 2 is odd",
    ]


def test_other_reasons_and_trials_that_ended_otherwise_keep_it_going() -> None:
    same = ("failed", "error", "x")
    assert told(AbortRule([]), same, ("failed", "memory", "x"), same, same) == [None] * 4
    assert told(AbortRule([]), same, ("diverged", "", "nan"), same, same) == [None] * 4
    assert told(AbortRule(ended("failed", "complete")), same, same, same) == [None] * 3


def test_failures_of_earlier_sessions_do_not_count_for_they_may_have_been_mended() -> None:
    same = ("failed", "error", "x")
    assert told(AbortRule(ended("failed", "failed", "failed")), same, same) == [None, None]


def test_interrupted_trials_say_nothing() -> None:
    same, cut = ("failed", "error", "x"), ("interrupted", "", "")
    assert told(AbortRule([]), same, cut, same, cut, same)[-1] is not None
