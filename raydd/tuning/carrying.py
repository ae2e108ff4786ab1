"""`NodeCarrier`: processes on the nodes of a Ray that send their trials' files to an MLflow server themselves.

One process a node, which takes no CPU of the trials' share, imports MLflow once, and cannot harm a trial. It is given
run ids and an address without a password; the login is that of its environment. Where it has none, or is refused,
the driver sends the files as it would without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd.tuning.store_uri import redact, scheme

if TYPE_CHECKING:
    from raydd.tuning.tracking import Tracker

FAILURES = 3  # in a row, of all nodes, after which the driver does it all


class Sender:
    """What runs on a node.

    Args:
        uri: of the server, without a password.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def send(self, run_id: str, sent: Mapping[str, Path]) -> str:
        """Copy files into a run; why that failed, or nothing."""
        from raydd.tuning import tracking

        return tracking.send_from_here(self.uri, run_id, sent)


class NodeCarrier:
    """One `Sender` on every node that files come from.

    Args:
        ray: connected.
        uri: of an MLflow server.
    """

    def __init__(self, ray: Any, uri: str) -> None:
        self._ray, self._uri = ray, redact(uri)
        self._senders: dict[str, Any] = {}
        self._failures = 0

    def take(self, run_id: str, sent: Mapping[str, Path], node: str) -> Any:
        """Begin to send; None where the driver has to: it knows no node, or too much went wrong."""
        if not node or self._failures >= FAILURES:
            return None
        try:
            if node not in self._senders:
                where = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
                options = {"num_cpus": 0, "scheduling_strategy": where}
                self._senders[node] = self._ray.remote(Sender).options(**options).remote(self._uri)
            return self._senders[node].send.remote(run_id, dict(sent))
        except Exception:  # whatever Ray has, it is no reason not to send the files
            self._failures += 1
            return None

    def failed(self, ticket: Any, timeout: float) -> str:
        """Wait for a ticket; why it failed, or nothing."""
        try:
            why = str(self._ray.get(ticket, timeout=timeout))
        except Exception as error:  # the node is gone, or Ray is
            why = type(error).__name__
        self._failures = self._failures + 1 if why else 0
        return why


@contextlib.contextmanager
def carried(tracker: Tracker, ray: Any, uri: str) -> Iterator[None]:
    """Let nodes send their files for as long as the block lasts, where a server takes them.

    A database has no room for writers on other nodes: with one the driver does it all.
    """
    if scheme(uri) not in ("http", "https"):
        yield
        return
    tracker.carry(NodeCarrier(ray, uri))
    try:
        yield
    finally:
        tracker.carry(None)
