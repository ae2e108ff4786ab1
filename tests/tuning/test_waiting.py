"""Tasks that are waited for until somebody asks the study to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raydd.errors import StudyStopped
from raydd.storage.stop_sign import NOW, StopSign
from raydd.tuning import waiting
from raydd.tuning.studies import Study


class FakeRay:
    """Tasks that end after so many looks."""

    def __init__(self, **looks: int) -> None:
        self.looks = looks
        self.cancelled: list[str] = []

    def wait(self, references: list[str], num_returns: int, timeout: float) -> tuple[list[str], list[str]]:
        done = [name for name in references if self.looks[name] <= 0][:num_returns]
        self.looks = {name: left - 1 for name, left in self.looks.items()}
        return done, [name for name in references if name not in done]

    def cancel(self, reference: str, force: bool) -> None:
        assert force
        self.cancelled.append(reference)


def test_the_first_that_ends_is_given(tmp_path: Path) -> None:
    ray: Any = FakeRay(a=5, b=2)
    assert waiting.first_done(ray, Study(tmp_path), ["a", "b"]) == "b"
    assert ray.cancelled == []


def test_who_asks_to_stop_ends_all_of_them(tmp_path: Path) -> None:
    ray: Any = FakeRay(a=10**9, b=10**9)
    StopSign(tmp_path).put(NOW, "stopped by raydd stop")
    with pytest.raises(StudyStopped, match="stopped by raydd stop"):
        waiting.first_done(ray, Study(tmp_path), ["a", "b"])
    assert ray.cancelled == ["a", "b"]


def test_a_task_that_has_ended_is_taken_before_anybody_is_heard(tmp_path: Path) -> None:
    ray: Any = FakeRay(a=0)
    StopSign(tmp_path).put(NOW, "stopped by raydd stop")
    assert waiting.first_done(ray, Study(tmp_path), ["a"]) == "a"
