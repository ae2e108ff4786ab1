"""`Artifacts`: the files of a study's runs, each sent once, by this process or by one on the node that made it.

What a run holds stands in its tag `raydd.artifacts`, so that whoever goes on with a study, or synchronises it, sends
what is missing or has changed and nothing else.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from raydd import files
from raydd.tuning.mlflow_limits import TAG

RECORD = "raydd.artifacts"
DIGITS = 12  # of a file's sha256
SETTLE_SECONDS = 120.0  # for a process on another node to have sent what it was given


class Carrier(Protocol):
    """Sends files from the nodes on which they were made; see `raydd.tuning.carrying`."""

    def take(self, run_id: str, sent: Mapping[str, Path], node: str) -> Any:
        """Begin to send artifact path to file; a ticket, or None where this process has to do it."""

    def failed(self, ticket: Any, timeout: float) -> str:
        """Wait for a ticket; why it failed, or nothing."""


class Artifacts:
    """Files of runs.

    Args:
        client: gives an MLflow client; may fail, and is asked again then.
    """

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client
        self._held: dict[str, dict[str, str]] = {}  # of every run that is written to: artifact path to digest
        self._noted: dict[str, str] = {}  # the tag as it was written last
        self._away: dict[str, list[tuple[Any, dict[str, Path]]]] = {}
        self.carrier: Carrier | None = None
        self.sent = 0  # files, by whomever

    def upload(self, run_id: str, sent: Mapping[str, Path], node: str = "") -> None:
        """Copy files into a run, artifact path to file; missing files, and those that it holds, are left out.

        Args:
            run_id: of the run.
            sent: artifact path (`distilled/grid.png`) to file.
            node: of the cluster, where the files were made; its own process sends them where there is a carrier.
        """
        held = self._holds(run_id)
        digests = {path: files.file_digest(file)[:DIGITS] for path, file in sent.items() if file.is_file()}
        fresh = {path: sent[path] for path, digest in digests.items() if held.get(path) != digest}
        ticket = self.carrier.take(run_id, fresh, node) if fresh and self.carrier is not None else None
        if ticket is not None:
            self._away.setdefault(run_id, []).append((ticket, fresh))
            held |= {path: digests[path] for path in fresh}
            self.sent += len(fresh)
            return
        for path, file in fresh.items():
            send(self._client(), run_id, path, file)
            held[path] = digests[path]
            self.sent += 1
        self._note(run_id)

    def settle(self, run_id: str) -> None:
        """Wait until all that was given to other processes lies in the run, and send what they could not."""
        away = self._away.get(run_id, [])
        while away:
            ticket, fresh = away[0]
            if self.carrier is None or self.carrier.failed(ticket, SETTLE_SECONDS):
                for path, file in fresh.items():
                    if file.is_file():
                        send(self._client(), run_id, path, file)
            away.pop(0)
        self._away.pop(run_id, None)
        if run_id in self._held:
            self._note(run_id)

    def settle_all(self) -> None:
        """`settle` every run."""
        for run_id in list(self._away):
            self.settle(run_id)

    def forget(self, run_id: str) -> None:
        """Drop what is remembered of a run that is done."""
        self._held.pop(run_id, None)
        self._noted.pop(run_id, None)

    def _holds(self, run_id: str) -> dict[str, str]:
        """What the run holds: what its tag says and its artifacts confirm."""
        if run_id not in self._held:
            client = self._client()
            try:
                record = dict(json.loads(client.get_run(run_id).data.tags.get(RECORD, "{}")))
            except ValueError:
                record = {}
            there: set[str] = set()
            for folder in {str(PurePosixPath(path).parent) for path in record}:
                found = client.list_artifacts(run_id, None if folder == "." else folder)
                there |= {item.path for item in found if not item.is_dir}
            self._held[run_id] = {path: digest for path, digest in record.items() if path in there}
        return self._held[run_id]

    def _note(self, run_id: str) -> None:
        held = dict(sorted(self._held[run_id].items()))
        while len(text := json.dumps(held, separators=(",", ":"))) > TAG:
            held.popitem()  # it is sent again by the next who asks
        if held and self._noted.get(run_id) != text:
            self._client().set_tag(run_id, RECORD, text)
            self._noted[run_id] = text


def send(client: Any, run_id: str, path: str, file: Path) -> None:
    """Copy a file into a run under an artifact path."""
    folder, _, name = path.rpartition("/")
    # MLflow keeps the file's own name, so a link of the wanted name is sent instead.
    with tempfile.TemporaryDirectory(prefix="raydd-artifact-") as scratch:
        link = Path(scratch, name)
        link.symlink_to(file.absolute())
        client.log_artifact(run_id, str(link), folder or None)
