"""`StudyRuns`: one study as a parent run with a child run per trial; what the tracker's writer thread does.

It talks to an MLflow client that it is given. Every method may be called again after it failed half way,
because the outbox repeats an action until the store has taken all of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from raydd.errors import TrackingError
from raydd.files import file_digest
from raydd.tuning.artifacts import Artifacts
from raydd.tuning.mlflow_limits import DIGEST, METRICS, TAG, chunks, clean, cut, flat, now, same
from raydd.tuning.provenance import source_tags
from raydd.tuning.store_uri import redact

STATUS = {
    "complete": "FINISHED",
    "pruned": "KILLED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}

LINKS = "<!-- links -->"  # in a description: where links to other views of the same experiment belong
COMPARED = 50  # runs in one link, which a description and a browser can take
SET, SET_DIGEST = "distilled/distilled.safetensors", "raydd.set_sha256"
"""Where a run keeps its distilled set, and the tag with the sha256 of what was uploaded there."""

Report = tuple[str, Any, int, int]  # name, value, step, milliseconds since 1970


@dataclass(frozen=True)
class Connection:
    """An MLflow client, the module `mlflow.entities`, and the experiment that is written to."""

    client: Any
    entities: Any
    experiment_id: str


class StudyRuns:
    """The runs of one study, found again by their tags.

    Args:
        connect: makes the connection at the first write; may fail, and is asked again then.
        report: takes a sentence about something that could not be written.
    """

    def __init__(self, connect: Callable[[], Connection], report: Callable[[str], None]) -> None:
        self._connect, self._report = connect, report
        self._connected: Connection | None = None
        self._identity: dict[str, str] = {}
        self._common: dict[str, str] = {}
        self._written: dict[str, set[tuple[str, int]]] = {}  # by run: (key, step) of what it holds
        self._latest: dict[str, float] = {}
        self.artifacts = Artifacts(lambda: self._store().client)
        self.points = 0  # metric values written
        self.experiment_id = ""
        self.parent = ""
        self.children: dict[int, str] = {}

    def open_study(
        self,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        description: str,
        dataset: Mapping[str, str],
        files: Sequence[Path],
        begun: int | None = None,
        goes_on: bool = True,
    ) -> None:
        """Find or make the parent run, learn which children exist, write what describes the study."""
        self._identity = {"raydd.study": name}
        if "raydd.study_id" in tags:
            self._identity["raydd.study_id"] = tags["raydd.study_id"]
        self._common = {**self._identity, **source_tags()}
        store, parent = self._store(), None
        for run in self._find():
            number = run.data.tags.get("raydd.trial", "")
            if number.isdigit():
                self.children.setdefault(int(number), run.info.run_id)
            else:
                parent = parent or run
        if parent is None:
            parent = store.client.create_run(
                store.experiment_id, start_time=begun, tags=self._identity, run_name=name
            )
        elif goes_on:
            store.client.update_run(parent.info.run_id, status="RUNNING")
        self.parent = parent.info.run_id
        self._latest = dict(parent.data.metrics)
        notes = {"mlflow.note.content": self._linked(description)} if description else {}
        self._describe(parent, params, {**self._common, **tags, **notes})
        if dataset:
            self._input(dataset)
        self.artifacts.upload(self.parent, {file.name: file for file in files})

    def open_trial(
        self,
        number: int,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        description: str,
        begun: int | None = None,
        goes_on: bool = True,
    ) -> None:
        """Find or make a child run; an open one stays as it is, and so does one that has ended unless it goes on."""
        store, known = self._store(), self.children.get(number)
        identity = {**self._identity, "raydd.trial": str(number), "mlflow.parentRunId": self.parent_run()}
        if known is None:
            # A request that timed out may have made the run all the same.
            found = next(self._find(f" and tags.`raydd.trial` = '{number}'"), None)
            known = None if found is None else found.info.run_id
        if known is None:
            run = store.client.create_run(
                store.experiment_id, start_time=begun, tags=identity, run_name=str(number)
            )
            self._written[run.info.run_id] = set()
        else:
            run = store.client.get_run(known)
        if known is not None and goes_on:
            store.client.update_run(known, status="RUNNING")
            for stale in ("raydd.outcome", "raydd.why"):
                if stale in run.data.tags:
                    store.client.delete_tag(known, stale)
        self.children[number] = run.info.run_id
        notes = {"mlflow.note.content": description} if description else {}
        self._describe(run, params, {**self._common, **tags, **identity, **notes})

    def log_trial(self, number: int, reports: Iterable[Report]) -> None:
        """Write what the child run does not hold yet, the first value of each (name, step)."""
        self._log(self.run_of(number), reports)

    def log_course(self, reports: Iterable[Report]) -> None:
        """`log_trial` of the parent run, whose steps are trials that have ended."""
        self._log(self.parent_run(), reports)

    def _log(self, run_id: str, reports: Iterable[Report]) -> None:
        written = self._steps(run_id)
        fresh: dict[tuple[str, int], Any] = {}
        for name, value, step, milliseconds in reports:
            key = clean(name)
            if (key, step) in written or (key, step) in fresh:
                continue
            if (number_ := self._number(name, value)) is not None:
                fresh[key, step] = self._store().entities.Metric(key, number_, milliseconds, step)
        for some in chunks(list(fresh), METRICS):
            self._batch(run_id, metrics=[fresh[key] for key in some])
            written.update(some)
            self.points += len(some)

    def close_trial(
        self,
        number: int,
        outcome: str,
        why: str,
        metrics: Mapping[str, float],
        description: str | None = None,
        ended: int | None = None,
    ) -> None:
        """Write the last metrics at the run's last step, its outcome, and its status; one that has it keeps its end."""
        run_id, status = self.run_of(number), STATUS.get(outcome, "FAILED")
        if metrics:
            step = max((step for _, step in self._steps(run_id)), default=0)
            self._log(run_id, [(name, value, step, ended or now()) for name, value in metrics.items()])
        self.artifacts.settle(run_id)
        notes = {} if description is None else {"mlflow.note.content": description}
        self._tag(run_id, {"raydd.outcome": outcome, **({"raydd.why": why} if why else {}), **notes})
        self._end(run_id, status, ended)
        # Of thousands of trials only those that run stay in memory.
        self._written.pop(run_id, None)
        self.artifacts.forget(run_id)

    def _end(self, run_id: str, status: str, ended: int | None = None) -> None:
        """Give a run its status; one that has it keeps its end."""
        client = self._store().client
        if client.get_run(run_id).info.status != status:
            client.set_terminated(run_id, status, end_time=ended)

    def log_study(
        self, metrics: Mapping[str, float], tags: Mapping[str, str], description: str | None, time: int
    ) -> None:
        """Write those figures of the parent run that have changed, and its tags.

        `time` (milliseconds since 1970) is later with every call: MLflow shows the value with the latest one.
        """
        run_id = self.parent_run()
        fresh: dict[str, float] = {}
        for name, value in metrics.items():
            number = self._number(name, value)
            if number is not None and not same(self._latest.get(clean(name)), number):
                fresh[clean(name)] = number
        for some in chunks(list(fresh), METRICS):
            metric = self._store().entities.Metric
            self._batch(run_id, metrics=[metric(key, fresh[key], time, 0) for key in some])
        self._latest |= fresh
        notes = {} if description is None else {"mlflow.note.content": self._linked(description)}
        self._tag(run_id, {**tags, **notes})

    def close_study(self, status: str, ended: int | None = None) -> None:
        """Close children that are still running, also those of a driver that was killed, then the parent."""
        run_id = self.parent_run()
        for run in list(self._find(" and attributes.status = 'RUNNING'")):
            number = run.data.tags.get("raydd.trial", "")
            if number.isdigit():
                self.children[int(number)] = run.info.run_id
                self.close_trial(int(number), "interrupted", "", {})
        self.artifacts.settle_all()
        self._end(run_id, status, ended)

    def close_left_open(self, identity: Mapping[str, str], ends: Mapping[int, tuple[str, str]]) -> list[str]:
        """Close the runs of a study that still count as running though nobody works on it.

        Args:
            identity: tags that all of the study's runs have.
            ends: outcome and reason of trials that have ended; all others were interrupted.

        Returns:
            Names of the runs that were closed.
        """
        self._identity, closed = dict(identity), []
        for run in list(self._find(" and attributes.status = 'RUNNING'")):
            number = run.data.tags.get("raydd.trial", "")
            if number.isdigit():
                self.children[int(number)] = run.info.run_id
                outcome, why = ends.get(int(number), ("interrupted", ""))
                self.close_trial(int(number), outcome, why, {})
            else:
                self._store().client.set_terminated(run.info.run_id, "KILLED")
            closed.append(str(run.info.run_name))
        return closed

    def upload(self, number: int | None, files: Mapping[str, Path], node: str = "") -> None:
        """Copy files into a trial's run, or the parent's for None; see `Artifacts.upload`."""
        run_id = self.parent_run() if number is None else self.run_of(number)
        self.artifacts.upload(run_id, files, node)
        if SET in files and files[SET].is_file():
            self._tag(run_id, {SET_DIGEST: file_digest(files[SET])})

    def parent_run(self) -> str:
        """Id of the parent run."""
        if not self.parent:
            raise TrackingError("the study's run was not opened, so nothing of it can be written")
        return self.parent

    def run_of(self, number: int) -> str:
        """Id of a trial's run."""
        if number not in self.children:
            raise TrackingError(f"the run of trial {number} was not opened, so nothing of it can be written")
        return self.children[number]

    def _store(self) -> Connection:
        if self._connected is None:
            self._connected = self._connect()
            self.experiment_id = self._connected.experiment_id
        return self._connected

    def _batch(self, run_id: str, **entities: Sequence[Any]) -> None:
        # The client splits long lists. MLFLOW_ENABLE_ASYNC_LOGGING would hide failures: `synchronous`.
        self._store().client.log_batch(run_id, synchronous=True, **entities)

    def _find(self, more: str = "") -> Iterator[Any]:
        store, token = self._store(), None
        condition = self._condition() + more
        while True:
            page = store.client.search_runs(
                [store.experiment_id], condition, order_by=["attributes.start_time ASC"], page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _steps(self, run_id: str) -> set[tuple[str, int]]:
        """(key, step) of everything that a run holds."""
        if run_id not in self._written:
            client = self._store().client
            held: set[tuple[str, int]] = set()
            for key in client.get_run(run_id).data.metrics:
                held.update((key, metric.step) for metric in client.get_metric_history(run_id, key))
            self._written[run_id] = held
        return self._written[run_id]

    def _describe(self, run: Any, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        values, held = dict(flat(params)), run.data.params
        entities = [
            self._store().entities.Param(key, value) for key, value in values.items() if key not in held
        ]
        self._batch(run.info.run_id, params=entities)
        changed = {
            f"raydd.changed.{key}": value for key, value in values.items() if held.get(key, value) != value
        }
        self._tag(run.info.run_id, {**tags, **changed})

    def _tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        tag = self._store().entities.RunTag
        entities = [tag(clean(key), cut(redact(str(value)), TAG)) for key, value in tags.items()]
        self._batch(run_id, tags=entities)

    def _input(self, dataset: Mapping[str, str]) -> None:
        store = self._store()
        entity = store.entities.Dataset(
            name=dataset["name"],
            digest=dataset["fingerprint"][:DIGEST],
            source_type="local",
            source=json.dumps({"uri": redact(str(dataset["source"]))}),
        )
        context = store.entities.InputTag("mlflow.data.context", str(dataset["context"]))
        store.client.log_inputs(self.parent_run(), [store.entities.DatasetInput(entity, [context])])

    def _linked(self, description: str) -> str:
        """A description with links to the study's trials, best first, and to their comparison."""
        place = f"#/experiments/{self.experiment_id}/runs"
        condition = quote(self._condition(), safe="")
        found = [
            f"[Trials, best first]({place}?searchFilter={condition}&orderByKey=metrics.%60val_accuracy%60"
            "&orderByAsc=false)"
        ]
        if 1 < len(self.children) <= COMPARED:
            runs = quote(json.dumps(list(self.children.values()), separators=(",", ":")), safe="")
            experiments = quote(json.dumps([self.experiment_id]), safe="")
            found.append(f"[all side by side](#/compare-runs?runs={runs}&experiments={experiments})")
        return description.replace(LINKS, " · ".join(found))

    def _condition(self) -> str:
        return " and ".join(f"tags.`{key}` = '{value}'" for key, value in self._identity.items())

    def _number(self, name: str, value: Any) -> float | None:
        try:
            number = float(value)
        except (TypeError, ValueError):
            self._report(f"metric {name!r} is no number: {value!r:.80}")
            return None
        return None if math.isinf(number) else number  # MLflow would store 1.8e308
