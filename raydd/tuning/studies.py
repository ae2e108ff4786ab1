"""A study on disk: its folder, its name, its lock, and what can be read from it without running anything."""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raydd import config as configuration
from raydd import files
from raydd.config import StudyConfig
from raydd.errors import StudyError, unknown
from raydd.storage import assets
from raydd.storage.stop_sign import StopSign
from raydd.storage.trial import TrialFiles
from raydd.tuning.store_uri import redact

CONFIG_FILE = "study.yaml"
EXTENSIONS = "extensions.jsonl"
HOLDER = "holder.json"


@dataclass(frozen=True)
class TrialRecord:
    """One trial as its files tell it.

    Attributes:
        number: the Optuna number, which is the trial's identity.
        outcome: `complete`, `pruned`, `diverged`, `failed`, `interrupted` or `running`.
        source: `default` (trial 0), `published`, `given`, `grid`, `added`, `startup` or `model`.
        hyperparameters: the searched names only.
        val_accuracy, val_accuracy_std: fractions at the last evaluation; sd over its networks.
        initial_accuracy: fraction of the initial images, before any iteration.
        iteration, iterations: done, and asked for.
        seconds: wall time of all attempts.
        why: reason of a failure, or empty.
        values: all hyperparameters that are not the method's defaults, fixed ones included.
        replicate: which run of its setting it is, in a grid that runs each several times; it has a seed of its own.
    """

    number: int
    outcome: str
    source: str
    hyperparameters: dict[str, Any]
    val_accuracy: float | None
    val_accuracy_std: float | None
    initial_accuracy: float | None
    iteration: int
    iterations: int
    seconds: float | None
    why: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    replicate: int = 0


class Study:
    """A study's folder.

    Args:
        folder: absolute path of `<home>/studies/<name>`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: files.FileLock | None = None
        self._ended = False

    def __reduce__(self) -> tuple[type[Study], tuple[Path]]:
        return Study, (self.folder,)  # a copy in another process does not hold the lock

    @property
    def name(self) -> str:
        """The study's name, which is its folder's."""
        return self.folder.name

    @property
    def home(self) -> Path:
        """Folder of all studies, assets and the local tracking store."""
        return self.folder.parents[1]

    @property
    def journal(self) -> Path:
        """Optuna's journal of this study."""
        return self.folder / "optuna.journal"

    @property
    def assets(self) -> Path:
        """Assets that this study shares with all of its home, or with other homes too (`resources.assets`)."""
        return assets.root(self.home, self.config.resources.assets)

    def trial_folder(self, number: int) -> Path:
        """Where trial `number` keeps everything."""
        return self.folder / "trials" / str(number)

    def trial_files(self, number: int) -> TrialFiles:
        """The files of trial `number`."""
        return TrialFiles(self.trial_folder(number))

    def history(self, number: int) -> list[dict[str, Any]]:
        """All reports of trial `number` that count."""
        return self.trial_files(number).history()

    @property
    def config(self) -> StudyConfig:
        """The resolved configuration, as saved and since extended; the home is where the folder lies now."""
        values = configuration.read_yaml(self.folder / CONFIG_FILE)
        for extension in self.extensions():
            for path, value in extension.get("changed", {}).items():
                configuration.set_path(values, path, value)
        return configuration.build({**values, "home": str(self.home), "name": self.name})

    # -- what was asked for since it was made ----------------------------------------------------------

    def extensions(self) -> list[dict[str, Any]]:
        """What was asked for since the study was made, oldest first: `changed` fields, and points that were `added`."""
        return files.read_jsonl(self.folder / EXTENSIONS)

    def extend(self, changed: Mapping[str, Any], added: Mapping[str, Any] | None = None) -> None:
        """Ask for more; a driver that runs takes it in with its next trial.

        Args:
            changed: fields of the configuration (`search.trials`) and their new values.
            added: hyperparameters of a point that is to be run next.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        row = {"time": now, "changed": dict(changed)} | ({} if added is None else {"added": dict(added)})
        files.append_jsonl(self.folder / EXTENSIONS, row)

    def added_points(self) -> list[dict[str, Any]]:
        """Points that were added since the study was made, oldest first."""
        return [row["added"] for row in self.extensions() if "added" in row]

    # -- finding and making ----------------------------------------------------------------------------

    @classmethod
    def names(cls, home: str | Path) -> list[str]:
        """Names of the studies under `home`, sorted."""
        studies = files.absolute(home) / "studies"
        return sorted(path.parent.name for path in studies.glob(f"*/{CONFIG_FILE}"))

    @classmethod
    def open(cls, home: str | Path, name: str) -> Study:
        """An existing study.

        Raises:
            StudyError: there is none of that name under `home`.
        """
        home = files.absolute(home)
        if (
            re.fullmatch(configuration.NAME_PATTERN, name) is None
            or not (home / "studies" / name / CONFIG_FILE).exists()
        ):
            raise StudyError(f"{unknown('study', name, cls.names(home))} in {home}")
        return cls(home / "studies" / name)

    @classmethod
    def free_name(cls, home: str | Path, stem: str) -> str:
        """`stem`, or `stem-2`, `stem-3`, ... whichever is not in use."""
        studies = Path(home) / "studies"
        number, name = 1, stem
        while (studies / name).exists():
            number += 1
            name = f"{stem}-{number}"
        return name

    @classmethod
    def create(cls, config: StudyConfig, provenance: Mapping[str, Any]) -> Study:
        """Make the study's folder with `provenance.json` and `study.yaml`, and take its lock.

        No password is written: that of the tracking store is asked for again when the study is resumed.
        `study.yaml` comes last and makes the folder a study: one without it was left over by a crash, and
        is taken over.

        Raises:
            StudyError: the name is in use, or the home cannot be written.
        """
        study = cls(config.folder)
        try:
            study.folder.mkdir(parents=True, exist_ok=True)
            study.lock()
            if (study.folder / CONFIG_FILE).exists():
                study.unlock()
                raise StudyError(taken(study.name, study.home))
            files.write_json(study.folder / "provenance.json", provenance)
            files.write_text(study.folder / CONFIG_FILE, configuration.dump_yaml(without_password(config)))
        except OSError as error:
            raise StudyError(f"home: {study.home} cannot be written: {error.strerror}") from None
        return study

    def lock(self) -> None:
        """Take the study's lock, which dies with this process.

        Raises:
            StudyError: another process holds it.
        """
        lock = files.FileLock(self.folder / "lock")
        tries = 3  # who only asks whether the study runs holds the lock for a moment
        while not lock.acquire():
            tries -= 1
            time.sleep(0.1)
            if tries:
                continue
            raise StudyError(f"study {self.name!r} is in use by {self.holder() or 'another process'}")
        self._lock = lock
        StopSign(self.folder).take_down()  # it was meant for an earlier driver
        with contextlib.suppress(OSError):  # a full disk: the lock holds, and its holder is only told of
            files.write_json(self.folder / HOLDER, {"host": socket.gethostname(), "pid": os.getpid()})

    def holder(self) -> str:
        """The process that has the lock, as far as it is known."""
        try:
            holder = files.read_json(self.folder / HOLDER)
        except (OSError, ValueError):
            return ""
        return f"process {holder['pid']} on {holder['host']}"

    def unlock(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @contextlib.contextmanager
    def as_ended(self) -> Iterator[None]:
        """Within the block the study does not count as running, though its lock is held: what its driver writes of it
        at its end is about the study as it is left.
        """
        self._ended = True
        try:
            yield
        finally:
            self._ended = False

    # -- reading ---------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """Whether some process holds the study's lock."""
        if self._ended:
            return False
        lock = files.FileLock(self.folder / "lock")
        try:
            if self._lock is not None or not lock.acquire(shared=True):
                return True
        except OSError:  # somebody else's study, which may be read and not written
            return False
        lock.release()
        return False

    def numbers(self) -> list[int]:
        """Numbers of the trials that were written down, ascending."""
        found = (self.folder / "trials").glob("*/hyperparameters.json")
        return sorted(int(path.parent.name) for path in found if path.parent.name.isdigit())

    def trials(self) -> list[TrialRecord]:
        """All trials that were started, by number."""
        numbers = self.numbers()
        running = self.is_running() if numbers else False
        return [self.trial(number, running=running) for number in numbers]

    def trial(self, number: int, *, running: bool | None = None) -> TrialRecord:
        """One trial.

        Raises:
            StudyError: the study has no trial of that number.
        """
        folder = self.trial_folder(number)
        if not (folder / "hyperparameters.json").exists():
            raise StudyError(
                f"study {self.name!r} has no trial {number}; it has {len(self.numbers())} trials"
            )
        drawn = files.read_json(folder / "hyperparameters.json")
        rows = self.history(number)
        end = files.read_json(folder / "end.json") if (folder / "end.json").exists() else {}
        evaluated = [row for row in rows if row.get("evaluated")]
        last = evaluated[-1] if evaluated else {}
        if running is None:
            running = self.is_running()
        return TrialRecord(
            number=number,
            outcome=end.get("outcome") or ("running" if running else "interrupted"),
            source=drawn["source"],
            hyperparameters=drawn["searched"],
            values=drawn["values"],
            val_accuracy=_number(last.get("val_accuracy")),
            val_accuracy_std=_number(last.get("val_accuracy_std")),
            initial_accuracy=_number(evaluated[0].get("val_accuracy")) if evaluated else None,
            iteration=int(rows[-1]["iteration"]) if rows else 0,
            iterations=int(drawn["iterations"]),
            seconds=sum_of_attempts(rows),
            why=end.get("why", ""),
            replicate=int(drawn.get("replicate", 0)),
        )

    def write_end(self, number: int, outcome: str, why: str, kind: str = "") -> None:
        """Write down how trial `number` ended; `kind` as in `raydd.failures` where it failed."""
        end = {"outcome": outcome, "why": why} | ({"kind": kind} if kind else {})
        files.write_json(self.trial_folder(number) / "end.json", end)

    def ended_at(self, number: int) -> float:
        """When trial `number` ended, in seconds since 1970; infinity for one that has not."""
        try:
            return (self.trial_folder(number) / "end.json").stat().st_mtime
        except FileNotFoundError:
            return math.inf

    def best(self) -> TrialRecord | None:
        """The complete trial with the highest validation accuracy (a search estimate); ties go to the lowest number."""
        return next(iter(complete(self.trials())), None)

    def report(self) -> dict[str, Any] | None:
        """The confirmation, if it has been made."""
        path = self.folder / "confirm" / "report.json"
        return files.read_json(path) if path.exists() else None

    def links(self) -> dict[str, Any] | None:
        """Where the study lies in MLflow: `uri`, `experiment_id`, `run_id`, `trials`."""
        path = self.folder / "tracking.json"
        return files.read_json(path) if path.exists() else None

    def count_test_reading(self, **facts: Any) -> None:
        """Append one reading of test data to the study's ledger."""
        files.append_jsonl(self.folder / "test_ledger.jsonl", facts)

    def test_readings(self) -> int:
        """How often test data were read for this study."""
        return len(files.read_jsonl(self.folder / "test_ledger.jsonl"))


def without_password(config: StudyConfig) -> StudyConfig:
    """The configuration as it may be shown: the tracking store's address has `***` where its password stood."""
    uri = config.tracking.uri
    if uri is None or redact(uri) == uri:
        return config
    return config.replace(tracking={**config.tracking.model_dump(), "uri": redact(uri)})


def complete(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Complete trials by validation accuracy, best first; ties go to the lower number."""
    found = [record for record in records if record.outcome == "complete" and record.val_accuracy is not None]
    return sorted(found, key=lambda record: (-(record.val_accuracy or 0.0), record.number))


def settings(records: Iterable[TrialRecord]) -> list[list[TrialRecord]]:
    """Complete trials by their setting, the best setting first: by the mean over its replicates, each list by number.

    Without replicates every setting has one trial, and the order is that of `complete`.
    """
    grouped: dict[str, list[TrialRecord]] = {}
    for record in sorted(complete(records), key=lambda one: one.number):
        # Trials that were not made as replicates stand for themselves, even where they have the same values.
        key = files.canonical_json(record.values)
        if record.replicate == 0 and key in grouped:
            key += f"/{record.number}"
        grouped.setdefault(key, []).append(record)
    means = {
        key: sum(one.val_accuracy or 0.0 for one in found) / len(found) for key, found in grouped.items()
    }
    return [grouped[key] for key in sorted(grouped, key=lambda key: (-means[key], grouped[key][0].number))]


def taken(name: str, home: Path) -> str:
    """Say that a study's name is in use."""
    return (
        f"name: study {name!r} exists already in {home}; take another name, "
        f"or continue it with `raydd resume {name}`"
    )


def sum_of_attempts(rows: list[dict[str, Any]]) -> float | None:
    """Wall seconds over all attempts: the last `seconds` of each attempt, added up."""
    last: dict[Any, float] = {}
    for row in rows:
        with contextlib.suppress(KeyError, TypeError):
            last[row["attempt"]] = float(row["seconds"])
    return sum(last.values()) if last else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
