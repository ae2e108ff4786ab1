"""Ctrl-C, SIGTERM and SIGUSR1 while a study runs."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # USR1 is what Slurm sends before the walltime ends
GRACE = 60.0  # seconds that trials have to leave a checkpoint


class Signals:
    """Remembers the first signal and raises KeyboardInterrupt, or, where something gentler was arranged, does that.

    A second signal interrupts in any case, and so does a worker that has not answered within `GRACE` seconds.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._gentle: Callable[[str], None] | None = None
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Signals:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._old = {kind: signal.getsignal(kind) for kind in KINDS}
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._main:
            for kind, handler in self._old.items():
                signal.signal(kind, handler)

    def install(self) -> None:
        """Handle the signals, again where somebody else has taken them over, as Ray Tune does."""
        if self._main:
            for kind in KINDS:
                signal.signal(kind, self._handle)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, otherwise 75; both are resumable."""
        return 130 if self.received in (None, signal.SIGINT) else 75

    @contextlib.contextmanager
    def gently(self, action: Callable[[str], None]) -> Iterator[None]:
        """Within the block the first signal calls `action` with its name, and interrupts nothing."""
        self._gentle = action
        try:
            yield
        finally:
            self._gentle = None
            if self._timer is not None:
                self._timer.cancel()

    def _handle(self, kind: int, frame: Any) -> None:
        first, self.received = self.received is None, self.received or kind
        if first and self._gentle is not None:
            self._timer = threading.Timer(GRACE, os.kill, (os.getpid(), kind))
            self._timer.daemon = True
            self._timer.start()
            self._gentle("Ctrl-C" if kind == signal.SIGINT else signal.Signals(kind).name)
        else:
            raise KeyboardInterrupt
