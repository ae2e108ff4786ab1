"""`Outbox`: a bounded queue and the one daemon thread that empties it, so that nobody waits for a slow store."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

DISTINCT = 8  # a store that fails in a new way each time must not fill the memory with its messages


@dataclass(eq=False)
class Entry:
    """Something to be written for `owner`: an action, or data that may be merged and, in need, dropped."""

    owner: Hashable
    action: Callable[[], None] | None = None
    data: Sequence[Any] = ()


class Outbox:
    """Writes entries in the order in which they were put, data of one owner merged up to its next action.

    `put` returns at once and never raises. While the store is away the writer tries its entry again and
    the queue grows up to `capacity`; then the oldest data is dropped and counted. Actions are never dropped.

    Args:
        deliver: writes merged data of one owner; called by the writer thread.
        patience: seconds to wait before the failed entry is tried again (given the error and how often it
            failed), or None to give this entry up and go on with the next.
        phrase: says an error in one line, without secrets.
        capacity: entries held at most; further actions are taken all the same, because they are few.
        merge: pieces of data in one `deliver`, about.
    """

    def __init__(
        self,
        deliver: Callable[[Hashable, list[Any]], None],
        *,
        patience: Callable[[Exception, int], float | None],
        phrase: Callable[[Exception], str] = str,
        capacity: int = 10_000,
        merge: int = 1000,
    ) -> None:
        self._deliver, self._patience, self._phrase = deliver, patience, phrase
        self._capacity, self._merge = capacity, merge
        self._entries: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._closing = False
        self._dropped = 0
        self._lost = 0
        self._outage: str | None = None
        self._reported: Counter[str] = Counter()

    def put(
        self, owner: Hashable, action: Callable[[], None] | None = None, data: Sequence[Any] = ()
    ) -> None:
        """Queue an action of `owner`, or data of it."""
        with self._changed:
            if self._closing:
                self._lost += 1
                return
            if len(self._entries) >= self._capacity and not self._drop_oldest() and action is None:
                self._dropped += 1
                return
            self._entries.append(Entry(owner, action, data))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="raydd-tracking", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def report(self, problem: str) -> None:
        """Note a problem for the one warning at the end; equal ones are counted."""
        with self._changed:
            if problem in self._reported or len(self._reported) < DISTINCT:
                self._reported[problem] += 1

    @property
    def problems(self) -> list[str]:
        """The first few distinct problems, a line each; empty when all was written."""
        with self._changed:
            lines = [text if n == 1 else f"{text} ({n} times)" for text, n in self._reported.items()]
            if self._outage is not None:
                lines.append(self._outage)
            if self._dropped:
                lines.append(f"the store was away or too slow: {self._dropped} reports were dropped")
            if self._lost:
                lines.append(f"the store was closed before {self._lost} entries were written")
            return lines

    @property
    def outage(self) -> str:
        """What the entry at hand fails of and is tried again; empty where it does not."""
        with self._changed:
            return self._outage or ""

    def flush(self, timeout: float) -> bool:
        """Wait until everything put so far is written or given up; False when `timeout` seconds pass first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._entries and not self._busy, timeout)

    def close(self, timeout: float) -> None:
        """Write what is left, for at most `timeout` seconds; a store that is away is tried twice more, briefly."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)
        with self._changed:
            # The writer may still hang in its last request: its daemon thread dies with the process.
            self._lost += len(self._entries) + self._busy
            self._entries.clear()

    def _drop_oldest(self) -> bool:
        for position, entry in enumerate(self._entries):
            if entry.action is None:
                del self._entries[position]
                self._dropped += 1
                return True
        return False

    def _run(self) -> None:
        while (work := self._next()) is not None:
            self._attempt(work)

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._entries or self._closing)
            if not self._entries:
                return None
            self._busy = True
            first = self._entries.popleft()
            if first.action is not None:
                return first.action
            data = self._merged(first)
            return lambda: self._deliver(first.owner, data)

    def _merged(self, first: Entry) -> list[Any]:
        data = list(first.data)
        others: deque[Entry] = deque()
        open_ended = True  # until an action of the same owner, which must find the earlier data written
        for entry in self._entries:
            if open_ended and entry.owner == first.owner:
                open_ended = entry.action is None and len(data) + len(entry.data) <= self._merge
                if open_ended:
                    data.extend(entry.data)
                    continue
            others.append(entry)
        self._entries = others
        return data

    def _attempt(self, work: Callable[[], None]) -> None:
        failures = last_chances = 0
        while True:
            try:
                work()
            except Exception as error:
                failures += 1
                wait = self._patience(error, failures)
                text = self._phrase(error)
                if wait is None:
                    self.report(text)
                    break
                with self._changed:
                    self._outage = text
                    if not self._closing:
                        self._changed.wait_for(lambda: self._closing, wait)
                        continue
                    last_chances += 1
                    if last_chances > 2:
                        return self._abandon()
                time.sleep(min(wait, 0.5))
            else:
                with self._changed:
                    self._outage = None
                break
        return None

    def _abandon(self) -> None:
        self._lost += 1 + len(self._entries)
        self._entries.clear()
