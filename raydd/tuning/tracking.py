"""`Tracker`: everything that raydd writes into MLflow; no other module imports it.

The methods only queue, one thread writes (`raydd.tuning.outbox`), and `raydd.tuning.runs` knows what.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import secrets
import tempfile
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd.errors import RayddError, TrackingAway, TrackingError
from raydd.files import FileLock
from raydd.tuning.artifacts import Carrier, send
from raydd.tuning.mlflow_limits import now
from raydd.tuning.outbox import Outbox
from raydd.tuning.runs import Connection, Report, StudyRuns
from raydd.tuning.store_uri import check, is_server, redact, restored, scheme, sqlite_path, ui_command, ui_url

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Tracker", "redact", "ui_command", "ui_url"]

OBJECTIVE = "val_accuracy"

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # MLflow's seven take minutes; the outbox tries again itself
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}

CARRIED_SECONDS = 60.0  # for other processes to have sent what they were given, before their Ray ends
PROBE = "raydd-doctor"  # experiment of probe runs

STUDY = "study"  # owner of the parent run's entries; those of a trial belong to its number


class Tracker:
    """Writes one study into one MLflow experiment; every method returns at once and never raises.

    What cannot be written is found in `problems`. A metric is identified by (trial, step, name) and is
    written once, also when a resumed study logs it again: logging a whole history anew fills gaps only.

    Args:
        uri: absolute tracking address; see `preflight`.
        experiment: name of the experiment.
        artifact_root: artifact folder of an experiment in a database store; ignored where a server keeps them.
        capacity: entries that may wait for a slow store before the oldest reports are dropped.
    """

    def __init__(
        self, uri: str, experiment: str, *, artifact_root: Path | None, capacity: int = 10_000
    ) -> None:
        self._uri, self._experiment = uri, experiment
        connect = functools.partial(_connect, uri, experiment, artifact_root)
        self._outbox = Outbox(self._deliver, patience=_patience, phrase=_phrase, capacity=capacity)
        self._runs = StudyRuns(connect, self._outbox.report)
        self._clock = 0

    def __reduce__(self) -> tuple[Any, ...]:
        # Ray pickles the callbacks of a search into a file, which is no place for a thread or a password.
        return functools.partial(Tracker, artifact_root=None), (redact(self._uri), self._experiment)

    @staticmethod
    def preflight(uri: str, experiment: str, artifact_root: Path | None) -> None:
        """Make the store and the experiment ready, in the driver, before any worker starts.

        A database is filled with its tables at its first use (seconds); a server must answer within seconds.

        Raises:
            TrackingError: the store cannot be used; one sentence, with the remedy where there is one.
        """
        check(uri)
        shown, path = redact(uri), sqlite_path(uri)
        try:
            if artifact_root is not None and not is_server(uri):
                artifact_root.mkdir(parents=True, exist_ok=True)
            if path is None:
                _answers(uri)
                _connect(uri, experiment, artifact_root)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            # Two first searches in one home must not both make the tables.
            with FileLock(path.with_name(f".{path.name}.lock")):
                _connect(uri, experiment, artifact_root)
        except TrackingError:
            raise
        except ImportError as error:
            raise TrackingError(
                f"tracking.uri: {shown} needs a database driver ({error}); install raydd[server] and write "
                "postgresql+psycopg2://..."
            ) from None
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            raise TrackingError(f"cannot use the tracking store {shown}: {error.strerror}{where}") from None
        except Exception as error:
            if "out-of-date database schema" in str(error):
                raise TrackingError(
                    f"the tracking store {shown} was made by another MLflow; back it up, then run "
                    f"`mlflow db upgrade {shown}`"
                ) from None
            raise _unusable(uri, error) from None

    @staticmethod
    def probe(uri: str, artifact_root: Path | None) -> str:
        """Write a run with a metric and an artifact, read both back, delete them; what was done, in a phrase.

        Raises:
            TrackingError: a step failed, or gave back something else than was written.
        """
        Tracker.preflight(uri, PROBE, artifact_root)
        with Tracker.reading(uri) as client:
            from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

            experiment = client.get_experiment_by_name(PROBE).experiment_id
            run = client.create_run(experiment, run_name="probe")
            run_id, token = run.info.run_id, secrets.token_hex(8)
            try:
                client.log_metric(run_id, "probe", 0.5, step=3)
                history = client.get_metric_history(run_id, "probe")
                if [(point.step, point.value) for point in history] != [(3, 0.5)]:
                    raise TrackingError(
                        f"the tracking store {redact(uri)} gave back another metric than was written"
                    )
                client.log_text(run_id, token, "probe/token.txt")
                with tempfile.TemporaryDirectory(prefix="raydd-probe-") as folder:
                    read = Path(client.download_artifacts(run_id, "probe/token.txt", folder)).read_text()
                if read != token:
                    raise TrackingError(f"the artifacts of {redact(uri)} are not those that were written")
                get_artifact_repository(run.info.artifact_uri, tracking_uri=uri).delete_artifacts("probe")
                if client.list_artifacts(run_id):
                    raise TrackingError(f"the tracking store {redact(uri)} does not delete artifacts")
            finally:
                client.set_terminated(run_id)
                client.delete_run(run_id)
        return "a run with a metric and an artifact was written, read and deleted"

    @staticmethod
    @contextlib.contextmanager
    def reading(uri: str) -> Iterator[MlflowClient]:
        """A client of a store that is there already, for as long as the block lasts; nothing is written by this.

        Raises:
            TrackingError: the store cannot be used, or answers in the block with an error.
        """
        check(uri)
        path = sqlite_path(uri)
        if path is not None and not path.exists():  # MLflow would make a new one
            raise TrackingError(f"cannot use the tracking store {redact(uri)}: there is no such file")
        _answers(uri)
        try:
            yield _client(uri)
        except RayddError:
            raise
        except Exception as error:
            raise _unusable(uri, error) from None

    @staticmethod
    def close_left_open(
        uri: str,
        identity: Mapping[str, str],
        ends: Mapping[int, tuple[str, str]],
        *,
        experiment_id: str | None = None,
    ) -> list[str]:
        """Close the runs that a driver left open when it was killed; waits until that is written.

        Args:
            uri: absolute tracking address.
            identity: tags that all runs of the study have.
            ends: outcome and reason of trials that have ended; all others were interrupted.
            experiment_id: where the runs are; None looks into all experiments.

        Returns:
            Names of the runs that were closed.

        Raises:
            TrackingError: the store cannot be used.
        """
        check(uri)
        path = sqlite_path(uri)
        if path is not None and not path.exists():  # MLflow would make a new one
            raise TrackingError(f"cannot use the tracking store {redact(uri)}: there is no such file")
        _answers(uri)
        try:
            client = _client(uri)
            from mlflow import entities

            places = [experiment_id] if experiment_id else _experiments(client)
            closed: list[str] = []
            for place in places:
                runs = StudyRuns(functools.partial(Connection, client, entities, place), lambda said: None)
                closed += runs.close_left_open(identity, ends)
            return closed
        except Exception as error:
            raise TrackingError(f"cannot use the tracking store {redact(uri)}: {_phrase(error)}") from None

    def open_study(
        self,
        name: str,
        *,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        description: str,
        dataset: Mapping[str, str],
        files: Sequence[Path] = (),
        begun: int | None = None,
        goes_on: bool = True,
    ) -> None:
        """Open the parent run; one with the same study name (and `raydd.study_id`, if given) is reopened.

        Args:
            name: the study's name, and the run's.
            params: settings that hold for all trials; nested ones become `a.b`. Where an extended study
                changes one, the new value becomes the tag `raydd.changed.<name>`: params are write-once.
            tags: tags of the parent. `raydd.study_id` tells apart equal names on a shared server.
            description: Markdown shown at the top of the run.
            dataset: `name`, `fingerprint` (hex), `source` (path or address), `context` (`training`); or empty.
            files: artifacts of the parent, under their own names.
            begun: milliseconds since 1970, of a run that has to be made; None is now.
            goes_on: False where nobody works on the study, whose run is not to be reopened.
        """
        arguments = (name, dict(params), dict(tags), description, dict(dataset), list(files), begun, goes_on)
        self._outbox.put(STUDY, lambda: self._runs.open_study(*arguments))

    def open_trial(
        self,
        number: int,
        *,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        description: str = "",
        begun: int | None = None,
        goes_on: bool = True,
    ) -> None:
        """Open the child run of a trial, or reopen it; `params` are the searched values only.

        Args:
            number: of the trial.
            params, tags, description: of the run.
            begun: milliseconds since 1970, of a run that has to be made; None is now.
            goes_on: False for a trial that has ended, whose run is not to be reopened.
        """
        arguments = (number, dict(params), dict(tags), description, begun, goes_on)
        self._outbox.put(number, lambda: self._runs.open_trial(*arguments))

    def log_trial(self, number: int, metrics: Mapping[str, float], step: int) -> None:
        """Log one report at `step` (iterations). NaN is kept, infinities are left out."""
        self.log_reports(number, [(metrics, step, now())])

    def log_reports(self, number: int, reports: Iterable[tuple[Mapping[str, float], int, int]]) -> None:
        """Log reports, each with its step (iterations) and time (milliseconds since 1970)."""
        self._outbox.put(number, data=_points(reports))

    def trial_artifacts(self, number: int, files: Mapping[str, Path], node: str = "") -> None:
        """Copy files into the child run: artifact path (`distilled/grid.png`) to file; missing ones are skipped.

        `node` of the cluster is where they were made, see `carry`.
        """
        chosen = dict(files)
        self._outbox.put(number, lambda: self._runs.upload(number, chosen, node))

    def close_trial(
        self,
        number: int,
        outcome: str,
        why: str = "",
        metrics: Mapping[str, float] | None = None,
        *,
        description: str | None = None,
        ended: int | None = None,
    ) -> None:
        """End the child run; `metrics` (such as `seconds`) are logged at its last step.

        Args:
            number: of the trial.
            outcome: `complete`, `pruned`, `diverged`, `failed` or `interrupted`.
            why: a sentence for people.
            metrics: figures of the whole trial.
            description: Markdown; None leaves what is there.
            ended: milliseconds since 1970; None is now.
        """
        arguments = (number, outcome, why, dict(metrics or {}), description, ended)
        self._outbox.put(number, lambda: self._runs.close_trial(*arguments))

    def log_study(
        self,
        metrics: Mapping[str, float],
        tags: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> None:
        """Set figures and tags of the parent run; a later value replaces an earlier one."""
        self._clock = max(self._clock + 1, now())  # of equal times MLflow shows the largest value
        arguments = (dict(metrics), dict(tags or {}), description, self._clock)
        self._outbox.put(STUDY, lambda: self._runs.log_study(*arguments))

    def log_course(self, reports: Iterable[tuple[Mapping[str, float], int, int]]) -> None:
        """`log_reports` of the parent run, whose steps are trials that have ended."""
        points = _points(reports)
        self._outbox.put(STUDY, lambda: self._runs.log_course(points))

    def study_artifacts(self, files: Mapping[str, Path]) -> None:
        """`trial_artifacts` of the parent run."""
        chosen = dict(files)
        self._outbox.put(STUDY, lambda: self._runs.upload(None, chosen))

    def carry(self, carrier: Carrier | None) -> None:
        """Let somebody else send the files of trials from now on; None ends that, and waits a while for the last."""
        if carrier is None:
            self._outbox.put(STUDY, self._runs.artifacts.settle_all)
            end = time.monotonic() + CARRIED_SECONDS
            while not self._outbox.flush(0.2) and time.monotonic() < end and not self.away:
                pass
        self._runs.artifacts.carrier = carrier

    def close_study(self, status: str = "FINISHED", ended: int | None = None) -> None:
        """Close every child that is still open as `interrupted`, then the parent as `status`.

        `ended` is in milliseconds since 1970; None is now.
        """
        self._outbox.put(STUDY, lambda: self._runs.close_study(status, ended))

    def flush(self, timeout: float) -> bool:
        """Wait until all is written or given up; False if `timeout` seconds were not enough."""
        return self._outbox.flush(timeout)

    def close(self, timeout: float = 60) -> None:
        """Write what is left, for at most `timeout` seconds; nothing can be logged afterwards."""
        self._outbox.close(timeout)

    @property
    def problems(self) -> list[str]:
        """The first few distinct problems, without secrets; empty when all was written."""
        return self._outbox.problems

    @property
    def away(self) -> str:
        """Why the store cannot be written just now; empty where it can."""
        return self._outbox.outage

    @property
    def written(self) -> tuple[int, int]:
        """Metric values and files that were written so far."""
        return self._runs.points, self._runs.artifacts.sent

    def links(self) -> dict[str, Any]:
        """Where the study lies, as far as it is known: `uri` (no password), `experiment_id`, `run_id`, `trials`.

        `run_id` is the parent's, `trials` maps numbers to run ids; both are empty before the first write.
        """
        return {
            "uri": redact(self._uri),
            "experiment_id": self._runs.experiment_id,
            "run_id": self._runs.parent,
            "trials": dict(self._runs.children),
        }

    def _deliver(self, owner: Hashable, reports: list[Any]) -> None:
        assert isinstance(owner, int)
        self._runs.log_trial(owner, reports)


def send_from_here(uri: str, run_id: str, files: Mapping[str, Path]) -> str:
    """Copy files into a run, artifact path to file, with the login of this process's environment.

    Args:
        uri: of a server, without a password.
        run_id: of the run.
        files: missing ones are skipped.

    Returns:
        Why that failed, in one line without secrets; nothing where it did not.
    """
    try:
        client = _client(restored(uri))
        for path, file in files.items():
            if file.is_file():
                send(client, run_id, path, file)
    except Exception as error:  # nobody here can do anything about it; the driver can
        return _phrase(error)
    return ""


def _points(reports: Iterable[tuple[Mapping[str, float], int, int]]) -> list[Report]:
    return [(name, value, step, time) for metrics, step, time in reports for name, value in metrics.items()]


def _client(uri: str) -> MlflowClient:
    _defaults()
    from mlflow import MlflowClient

    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        # A failed write is logged with its whole traceback, in the middle of the progress table.
        logging.getLogger("mlflow").setLevel(logging.CRITICAL)
        logging.getLogger("alembic").setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _defaults() -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def _connect(uri: str, experiment: str, artifact_root: Path | None) -> Connection:
    client = _client(uri)
    from mlflow import entities

    location = None if artifact_root is None or is_server(uri) else artifact_root.absolute().as_uri()
    return Connection(client, entities, _experiment(client, experiment, location))


def _experiment(client: MlflowClient, name: str, location: str | None) -> str:
    """Id of the experiment, which is made if it is missing; writes in any case, so that it fails early."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            client.create_experiment(name, artifact_location=location)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                raise
        found = client.get_experiment_by_name(name)
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"tracking.experiment: {name!r} was deleted in the tracking store; restore it "
            f"(mlflow experiments restore -x {found.experiment_id}) or take another name"
        )
    client.set_experiment_tag(found.experiment_id, "mlflow.experiment.primaryMetric.name", OBJECTIVE)
    client.set_experiment_tag(found.experiment_id, "mlflow.experiment.primaryMetric.greaterIsBetter", "True")
    return found.experiment_id


def _experiments(client: MlflowClient) -> list[str]:
    """Ids of all experiments that are not deleted."""
    found: list[str] = []
    token = None
    while True:
        page = client.search_experiments(page_token=token)
        found += [experiment.experiment_id for experiment in page]
        token = page.token
        if not token:
            return found


def _answers(uri: str) -> None:
    """Ask a server for a sign of life, with its certificates and login; any answer will do."""
    if scheme(uri) not in ("http", "https"):
        return
    _defaults()
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        http_request(get_default_host_creds(uri), "/health", "GET", max_retries=0, timeout=5)
    except Exception:
        raise TrackingAway(
            f"the MLflow server {redact(uri)} does not answer within 5 s; start it, or leave out "
            "tracking.uri to keep the runs in a file under the home"
        ) from None


def _unusable(uri: str, error: Exception) -> TrackingError:
    said, shown = _phrase(error), redact(uri)
    if re.search(r"error code 401|not authenticated", said):
        return TrackingError(
            f"the tracking store {shown} asks for a login, or does not take this one; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
    return TrackingError(f"cannot use the tracking store {shown}: {said}")


def _phrase(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redact(lines[0] if lines else type(error).__name__)[:300]


def _patience(error: Exception, failures: int) -> float | None:
    """Seconds until an entry is worth another try; None where the store understood and refused."""
    code = getattr(error, "error_code", "")
    unreachable = (
        type(error).__name__ == "OperationalError"  # sqlite is busy, or its file is gone
        or code == "TEMPORARILY_UNAVAILABLE"
        or (code == "INTERNAL_ERROR" and str(error).startswith("API request to"))
    )
    confused = code == "INTERNAL_ERROR" and (hasattr(error, "json") or "too many 500 error" in str(error))
    if not unreachable and not confused:
        return None
    if confused and failures >= 5:  # a server that chokes on this one entry must not hold up the rest
        return None
    return min(0.5 * 2.0 ** (failures - 1), 30.0)
