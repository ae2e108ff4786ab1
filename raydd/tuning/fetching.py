"""A distilled set from the tracking store, without its study's folder: found, checked by its hash, and who made it."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raydd import files
from raydd.errors import ArtifactError, StudyError
from raydd.storage import DistilledSet
from raydd.tuning.runs import SET, SET_DIGEST
from raydd.tuning.store_uri import redact
from raydd.tuning.tracking import Tracker

WINNER = "winner"


@dataclass(frozen=True)
class Fetched:
    """A set that was fetched, and what the store says of it; accuracies are fractions.

    Attributes:
        distilled: the set.
        content: bytes of its file.
        sha256: of these bytes.
        checked: whether that is the digest that was written down when the file was uploaded.
        study, study_id: whose it is.
        trial: its number; of the confirmed winner, whose set was distilled anew, that of its setting.
        winner: whether it is the confirmed winner's set.
        user, time: who made it, and when its run began (UTC, ISO 8601).
        tags: `method`, `dataset`, `ipc` and so on, as far as they are known.
        estimate: validation accuracy of the trial: a search estimate.
        confirmed: `test_accuracy`, `low`, `high` of the confirmed winner, if there is one ...
        confirmed_trial: ... and its number.
    """

    distilled: DistilledSet
    content: bytes
    sha256: str
    checked: bool
    study: str
    study_id: str
    trial: int | None
    winner: bool
    user: str
    time: str
    tags: dict[str, str]
    estimate: float | None
    confirmed: dict[str, float] | None
    confirmed_trial: int | None


def fetch(uri: str, address: str, *, study_id: str | None = None, unchecked: bool = False) -> Fetched:
    """Fetch a set.

    Args:
        uri: absolute address of the tracking store.
        address: `NAME/best`, `NAME/winner`, `NAME/default` or `NAME/3`; `NAME` alone is the winner.
        study_id: which of several studies of that name.
        unchecked: take a file whose digest nobody wrote down.

    Raises:
        TrackingError: the store cannot be used.
        StudyError: there is no such study or trial there, or several studies of that name.
        ArtifactError: the run holds no set, or not the one that was uploaded.
    """
    name, _, word = address.partition("/")
    if not name or "'" in name or "`" in name:
        raise StudyError(f"{address!r} names no trial; write NAME/best, NAME/winner or NAME/3")
    with Tracker.reading(uri) as client:
        runs = _of_one_study(_runs(client, name), name, uri, study_id)
        parent = next((run for run in runs if not _number(run)), None)
        run = _chosen(runs, parent, name, word or WINNER)
        content = _download(client, run, address)
    known = run.data.tags.get(SET_DIGEST)
    digest, distilled = _checked(content, known, address, unchecked)
    metrics = {} if parent is None else parent.data.metrics
    confirmed = {key: metrics.get(f"confirmed/{key}") for key in ("test_accuracy", "low", "high")}
    winner = None if parent is None else parent.data.tags.get("raydd.winner")
    is_winner = run is parent
    number = winner if is_winner else _number(run)
    trial_run = next((each for each in runs if _number(each) == number), run)
    prefixed = {
        key.removeprefix("raydd."): text for key, text in run.data.tags.items() if key.startswith("raydd.")
    }
    return Fetched(
        distilled=distilled,
        content=content,
        sha256=digest,
        checked=known is not None,
        study=name,
        study_id=run.data.tags.get("raydd.study_id", ""),
        trial=int(number) if number else None,
        winner=is_winner,
        user=run.data.tags.get("mlflow.user", "unknown"),
        time=datetime.datetime.fromtimestamp(run.info.start_time / 1000, datetime.UTC).isoformat(
            timespec="seconds"
        ),
        tags=prefixed,
        estimate=trial_run.data.metrics.get("val_accuracy"),
        confirmed={key: value for key, value in confirmed.items() if value is not None} or None,
        confirmed_trial=int(winner) if winner else None,
    )


def _runs(client: Any, name: str) -> Iterator[Any]:
    places: list[str] = []
    token = None
    while True:
        page = client.search_experiments(page_token=token)
        places += [experiment.experiment_id for experiment in page]
        token = page.token
        if not token:
            break
    while places:
        page = client.search_runs(places, f"tags.`raydd.study` = '{name}'", page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _of_one_study(found: Iterable[Any], name: str, uri: str, study_id: str | None) -> list[Any]:
    by_id: dict[str, list[Any]] = {}
    for run in found:
        by_id.setdefault(run.data.tags.get("raydd.study_id", ""), []).append(run)
    if not by_id:
        raise StudyError(f"there is no study {name!r} in {redact(uri)}")
    if study_id is None and len(by_id) > 1:
        whose = "; ".join(
            f"{id_} by {runs[0].data.tags.get('mlflow.user', 'unknown')}" for id_, runs in by_id.items()
        )
        raise StudyError(
            f"{redact(uri)} has {len(by_id)} studies called {name!r}: choose with --study-id ({whose})"
        )
    if study_id is not None and study_id not in by_id:
        raise StudyError(
            f"no study {name!r} of {redact(uri)} has the id {study_id!r}; there are {', '.join(by_id)}"
        )
    return by_id[study_id] if study_id is not None else next(iter(by_id.values()))


def _chosen(runs: list[Any], parent: Any, name: str, word: str) -> Any:
    if word == WINNER:
        if parent is None or "raydd.winner" not in parent.data.tags:
            raise StudyError(
                f"study {name!r} is not confirmed there yet, so it has no winner; {name}/best is the best trial"
            )
        return parent
    trials = {int(_number(run)): run for run in runs if _number(run)}
    if word == "best":
        done = {
            number: run.data.metrics["val_accuracy"]
            for number, run in trials.items()
            if run.data.tags.get("raydd.outcome") == "complete" and "val_accuracy" in run.data.metrics
        }
        if not done:
            raise StudyError(f"study {name!r} has no complete trial there, so there is no best one")
        return trials[min(done, key=lambda number: (-done[number], number))]
    if word != "default" and not (word.isascii() and word.isdigit()):
        raise StudyError(f"trial {word!r} of study {name!r} must be a number, 'best', 'winner' or 'default'")
    number = 0 if word == "default" else int(word)
    if number not in trials:
        raise StudyError(f"study {name!r} has no trial {number} there; it has {len(trials)} trials")
    return trials[number]


def _number(run: Any) -> str:
    """Number of the run's trial, empty for the study's own run."""
    text = str(run.data.tags.get("raydd.trial", ""))
    return text if text.isdigit() else ""


def _download(client: Any, run: Any, address: str) -> bytes:
    folder, _, _ = SET.rpartition("/")
    if not any(each.path == SET for each in client.list_artifacts(run.info.run_id, folder)):
        raise ArtifactError(
            f"the run of {address} holds no distilled set; its study may not have uploaded it yet"
        )
    with tempfile.TemporaryDirectory(prefix="raydd-get-") as place:
        return Path(client.download_artifacts(run.info.run_id, SET, place)).read_bytes()


def _checked(content: bytes, known: str | None, address: str, unchecked: bool) -> tuple[str, DistilledSet]:
    with tempfile.TemporaryDirectory(prefix="raydd-get-") as place:
        file = Path(place) / "distilled.safetensors"
        file.write_bytes(content)
        digest = files.file_digest(file)
        if known is None and not unchecked:
            raise ArtifactError(
                f"nobody wrote down the sha256 of {address} when it was uploaded; --unchecked takes it all the same"
            )
        if known is not None and digest != known:
            raise ArtifactError(
                f"the set of {address} is not the one that was uploaded: its sha256 is {digest[:12]}, and {known[:12]} "
                "was written down; it is not kept"
            )
        return digest, DistilledSet.load(file)
