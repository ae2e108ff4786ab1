"""Stores: Optuna's journal, and a probe run with a probe artifact, written, read and deleted in the tracking store."""

from __future__ import annotations

import importlib.metadata
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from raydd.tuning.doctor.check import FAILED, OK, WARNING, Check
from raydd.tuning.doctor.machine import existing
from raydd.tuning.searcher import open_optuna
from raydd.tuning.store_uri import is_server, redact, scheme, sqlite_path
from raydd.tuning.tracking import Tracker

SLOW = 5.0  # seconds for a probe's round trip over which a study would lag behind


def journal() -> Iterator[Check]:
    """A trial asked for and told in a journal."""
    with tempfile.TemporaryDirectory(prefix="raydd-doctor-") as folder:
        study = open_optuna(Path(folder) / "optuna.journal", "probe")
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        study.tell(trial, 0.5)
        found = len(study.get_trials())
    version = importlib.metadata.version("optuna")
    if found == 1:
        yield Check("optuna", OK, f"{version}: a trial was asked for, told and read back")
    else:
        yield Check(
            "optuna",
            FAILED,
            f"{version}: 1 trial was told and {found} were read",
            "pip install 'optuna>=5,<6'",
        )


def tracking(uri: str, home: Path) -> Iterator[Check]:
    """The probe, by its steps; a store that is not made yet is tried out beside where it will lie."""
    path = sqlite_path(uri)
    if path is not None and path.is_absolute() and not path.exists():
        with tempfile.TemporaryDirectory(prefix=".probe-", dir=existing(path.parent)) as folder:
            yield from _probed(
                f"sqlite:///{folder}/mlflow.db", Path(folder) / "artifacts", f"{redact(uri)} (new)"
            )
        return
    yield from _probed(uri, None if is_server(uri) else home / "artifacts", redact(uri))


def _probed(uri: str, artifact_root: Path | None, shown: str) -> Iterator[Check]:
    begun = time.perf_counter()
    steps = Tracker.probe(uri, artifact_root)
    seconds = time.perf_counter() - begun
    found = f"{shown}: {steps}"
    if scheme(uri) in ("http", "https") and seconds > SLOW:
        yield Check(
            "tracking",
            WARNING,
            f"{found} in {seconds:.1f} s",
            "a study writes beside its work, but will lag behind",
        )
    else:
        yield Check("tracking", OK, found)
