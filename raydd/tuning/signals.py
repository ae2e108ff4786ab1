"""Ctrl-C and SIGTERM while a study runs."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any


class Signals:
    """Remembers the first SIGINT or SIGTERM and lets both reach Ray Tune as the SIGINT that it understands."""

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> Signals:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._old = {kind: signal.signal(kind, self._handle) for kind in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            for kind, handler in self._old.items():
                signal.signal(kind, handler)

    def _handle(self, kind: int, frame: Any) -> None:
        self.received = self.received or kind
        if kind == signal.SIGTERM:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            raise KeyboardInterrupt
