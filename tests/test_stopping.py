"""Loops that are asked to stop."""

from __future__ import annotations

import pytest

from raydd import stopping


def test_nobody_asks_outside_a_block() -> None:
    stopping.check()


def test_a_loop_stops_where_it_is_wanted_and_only_there() -> None:
    asked = []
    with stopping.asking(lambda: bool(asked)):
        stopping.check()
        asked.append(True)
        stopping._next = 0.0
        with stopping.not_asking():
            stopping.check()
        with pytest.raises(stopping.Stopped):
            stopping.check()
    stopping.check()


def test_the_question_is_asked_twice_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = [100.0], []
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    with stopping.asking(lambda: bool(asked.append(now[0]))):
        for _ in range(40):
            stopping.check()
            now[0] += 0.125
    assert len(asked) == 10


def test_blocks_inside_each_other_end_in_their_order() -> None:
    with stopping.asking(lambda: False):
        with stopping.asking(lambda: True), pytest.raises(stopping.Stopped):
            stopping.check()
        stopping.check()
