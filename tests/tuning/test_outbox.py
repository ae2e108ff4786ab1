from __future__ import annotations

import threading
import time

from raydd.tuning.outbox import Outbox


class Away(Exception):
    """The store does not answer, so another try is worth while."""


def patience(error: Exception, failures: int) -> float | None:
    return 0.01 if isinstance(error, Away) else None


class Store:
    """Keeps what is delivered; `open` is cleared to hold up the writer, `away` makes it fail."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.away = False
        self.calls: list[tuple[object, list[object]]] = []

    def __call__(self, owner, data):
        self.open.wait(10)
        if self.away:
            raise Away("nobody there")
        self.calls.append((owner, data))


def outbox_of(store: Store, **settings) -> Outbox:
    return Outbox(store, patience=patience, **settings)


def hold(outbox: Outbox, store: Store) -> None:
    """Occupy the writer with a first entry, so that what follows stays in the queue."""
    store.open.clear()
    outbox.put("first", data=[0])
    while outbox._entries:
        time.sleep(0.001)


def test_data_of_one_owner_is_merged_and_stays_before_its_next_action():
    store = Store()
    outbox = outbox_of(store)
    hold(outbox, store)
    for value in range(3):
        outbox.put(1, data=[value])
        outbox.put(2, data=[10 + value])
    outbox.put(1, lambda: store.calls.append((1, ["closed"])))
    outbox.put(1, data=[3])
    store.open.set()
    assert outbox.flush(5)
    assert store.calls == [("first", [0]), (1, [0, 1, 2]), (2, [10, 11, 12]), (1, ["closed"]), (1, [3])]
    assert outbox.problems == []


def test_merged_data_stay_below_the_limit_and_in_order():
    store = Store()
    outbox = outbox_of(store, merge=4)
    hold(outbox, store)
    for value in range(10):
        outbox.put(1, data=[value])
    store.open.set()
    assert outbox.flush(5)
    assert [data for _, data in store.calls[1:]] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_full_queue_drops_the_oldest_data_and_no_action():
    store, actions = Store(), []
    outbox = outbox_of(store, capacity=5)
    hold(outbox, store)
    for value in range(8):
        outbox.put(1, data=[value])
    for number in range(4):
        outbox.put(number, lambda number=number: actions.append(number))
    store.open.set()
    assert outbox.flush(5)
    assert actions == [0, 1, 2, 3]
    # Of 8 reports 5 fit at first; each of the 4 actions then takes the place of the oldest.
    assert store.calls[1:] == [(1, [7])]
    assert outbox.problems == ["the store was away or too slow: 7 reports were dropped"]


def test_a_queue_full_of_actions_takes_more_actions_and_drops_new_data():
    store, actions = Store(), []
    outbox = outbox_of(store, capacity=3)
    hold(outbox, store)
    for number in range(5):
        outbox.put(number, lambda number=number: actions.append(number))
    outbox.put(1, data=["dropped"])
    store.open.set()
    assert outbox.flush(5)
    assert actions == [0, 1, 2, 3, 4]
    assert store.calls == [("first", [0])]
    assert outbox.problems == ["the store was away or too slow: 1 reports were dropped"]


def test_an_outage_loses_nothing_and_leaves_no_problem():
    store = Store()
    store.away = True
    outbox = outbox_of(store)
    for value in range(5):
        outbox.put(value, data=[value])
    assert not outbox.flush(0.2)
    assert outbox.problems == ["nobody there"]
    store.away = False
    assert outbox.flush(5)
    assert store.calls == [(value, [value]) for value in range(5)]
    assert outbox.problems == []


def test_what_the_store_refuses_is_reported_once_and_the_rest_is_written():
    store = Store()
    outbox = outbox_of(store)

    def refuse() -> None:
        raise ValueError("not like that")

    for _ in range(3):
        outbox.put(1, refuse)
    outbox.put(1, data=[1])
    assert outbox.flush(5)
    assert store.calls == [(1, [1])]
    assert outbox.problems == ["not like that (3 times)"]


def test_only_the_first_few_distinct_problems_are_kept():
    outbox = outbox_of(Store())
    for number in range(1000):
        outbox.report(f"problem {number}")
    assert len(outbox.problems) == 8


def test_close_gives_up_soon_on_a_store_that_is_away_and_counts_what_is_lost():
    store = Store()
    store.away = True
    outbox = outbox_of(store)
    for value in range(5):
        outbox.put(value, data=[value])
    began = time.monotonic()
    outbox.close(30)
    assert time.monotonic() - began < 5
    assert outbox.problems == ["nobody there", "the store was closed before 5 entries were written"]


def test_close_waits_no_longer_than_told_for_a_writer_that_hangs():
    store = Store()
    outbox = outbox_of(store)
    hold(outbox, store)
    outbox.put(1, data=[1])
    began = time.monotonic()
    outbox.close(0.2)
    assert 0.2 <= time.monotonic() - began < 2
    assert outbox.problems == ["the store was closed before 2 entries were written"]
    store.open.set()


def test_nothing_is_taken_after_close():
    store = Store()
    outbox = outbox_of(store)
    outbox.put(1, data=[1])
    outbox.close(5)
    outbox.put(1, data=[2])
    assert store.calls == [(1, [1])]
    assert outbox.problems == ["the store was closed before 1 entries were written"]


def test_put_does_not_wait_for_the_store():
    store = Store()
    outbox = outbox_of(store)
    hold(outbox, store)
    began = time.monotonic()
    for value in range(1000):
        outbox.put(value % 7, data=[value])
    assert time.monotonic() - began < 1
    store.open.set()
    assert outbox.flush(5)
    assert sorted(value for _, data in store.calls[1:] for value in data) == list(range(1000))
