"""Signals while a study runs."""

from __future__ import annotations

import os
import signal
import time

import pytest

from raydd.tuning import signals
from raydd.tuning.signals import Signals


def send(kind: signal.Signals) -> None:
    os.kill(os.getpid(), kind)
    time.sleep(0.05)  # the handler runs between two instructions of the main thread


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)])
def test_a_signal_interrupts_and_says_how_the_program_ends(kind: signal.Signals, code: int) -> None:
    before = signal.getsignal(kind)
    with Signals() as received, pytest.raises(KeyboardInterrupt):
        send(kind)
    assert received.received == kind
    assert received.exit_code == code
    assert signal.getsignal(kind) == before


def test_where_something_gentle_was_arranged_the_first_signal_does_that_and_the_second_interrupts() -> None:
    asked: list[str] = []
    with Signals() as received, received.gently(asked.append):
        send(signal.SIGTERM)
        assert asked == ["SIGTERM"]
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        assert received.exit_code == 75
    assert asked == ["SIGTERM"]


def test_trials_that_do_not_answer_are_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "GRACE", 0.2)
    asked: list[str] = []
    with Signals() as received, received.gently(asked.append):
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(30)
    assert asked == ["Ctrl-C"]


def test_no_timer_is_left_when_the_trials_have_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "GRACE", 0.2)
    with Signals() as received:
        with received.gently(lambda name: None):
            send(signal.SIGINT)
        time.sleep(0.4)


def test_handlers_that_somebody_has_replaced_are_put_back() -> None:
    asked: list[str] = []
    with Signals() as received, received.gently(asked.append):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        received.install()
        send(signal.SIGUSR1)
    assert asked == ["SIGUSR1"]
