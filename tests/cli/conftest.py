"""Studies made of files, without Ray: what the verbs that look at studies and clean up have to do with."""

import json

import optuna
import pytest
from click.testing import CliRunner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from raydd import config as configuration
from raydd import files
from raydd.cli import main
from raydd.storage.trial import Checkpoint
from raydd.tuning.studies import Study

STATES = {
    "complete": optuna.trial.TrialState.COMPLETE,
    "pruned": optuna.trial.TrialState.PRUNED,
    "diverged": optuna.trial.TrialState.FAIL,
    "failed": optuna.trial.TrialState.FAIL,
}


class Home:
    """A home with studies that are written down by hand."""

    def __init__(self, folder):
        self.folder = folder

    def study(self, name="first", *, running=False, measured=True, **changes):
        """A new study of four trials; `search__trials=3` sets `search.trials`."""
        values = {"method": "dm", "ipc": 2, "iterations": 10, "home": str(self.folder), "name": name}
        values |= {"tracking": {"uri": None}, "search": {"trials": 4}}
        for path, value in changes.items():
            configuration.set_path(values, path.replace("__", "."), value)
        study = Study.create(configuration.build(values), {"study_id": f"id-of-{name}"})
        if measured:
            files.write_json(study.folder / "measured.json", {})
        if not running:
            study.unlock()
        return study

    def session(self, study, number=1, **facts):
        """A session of the search, by default that of this process, which holds the study."""
        facts = {**files.read_json(study.folder / "holder.json"), **facts}
        row = {"begun": f"2026-01-0{number}T00:00:00+00:00", "seconds": 1800.0, **facts}
        files.write_json(study.folder / "sessions" / f"{number}.json", row)

    def trial(self, study, accuracies, outcome=None, why="", kind="", *, session=1, failed=None):
        """The next trial: its files and its lines in Optuna's journal; returns its number."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = JournalStorage(JournalFileBackend(str(study.journal)))
        sampler = optuna.samplers.RandomSampler(seed=0)
        journal = optuna.create_study(
            storage=storage, study_name=study.name, direction="maximize", load_if_exists=True, sampler=sampler
        )
        asked = journal.ask()
        number = asked.number
        asked.suggest_float("lr_img", 0.1, 10.0)
        values = {"lr_img": 1.0 + number}
        drawn = {"number": number, "source": "model", "searched": values, "values": values, "iterations": 10}
        files.write_json(study.trial_folder(number) / "hyperparameters.json", {**drawn, "seed": 0})
        self.attempt(study, number, accuracies, session=session, failed=failed)
        if outcome:
            value = accuracies[-1] if outcome == "complete" else None
            journal.tell(number, value, None if outcome == "complete" else STATES[outcome])
            study.write_end(number, outcome, why, kind)
        return number

    def attempt(self, study, number, accuracies, *, session=1, failed=None, origin=None, first=0):
        """An attempt with a report for each accuracy; `failed` is kind and reason; `origin` attempt and iteration."""
        attempt = study.trial_files(number).claim()
        facts = {"time": "2026-01-01T00:00:01+00:00", "host": "node-7", "pid": 4711}
        checkpoint = None if origin is None else Checkpoint(study.folder, *origin)
        attempt.begin(checkpoint, {**facts, "session": session, "iteration": first})
        for iteration, accuracy in enumerate(accuracies, start=first):
            row = {"iteration": iteration, "evaluated": 1, "val_accuracy": accuracy, "val_accuracy_std": 0.01}
            row |= {"attempt": attempt.number, "seconds": 360.0 * (iteration + 1), "loss/total": 0.5}
            attempt.report(row)
        if failed:
            attempt.failed(*failed, f"Traceback of {number}\n  in a line\n", session=1, iteration=0)

    def report(self, study, accuracy=0.7, winner=0):
        """A confirmation."""
        complete = [trial.number for trial in study.trials() if trial.outcome == "complete"]
        files.write_json(study.folder / "confirm" / "winner.json", {"winner": winner, "candidates": complete})
        files.write_json(study.folder / "confirm" / "report.json", {"arms": [{"mean": accuracy}]})

    def asset(self, name, sha256="00", age=7200.0):
        """A trained network of the home, made `age` seconds ago."""
        folder = self.folder / "assets" / name
        files.write_json(folder / "asset.json", {"sha256": sha256})
        files.write_bytes(folder / "model.safetensors", bytes(1000))
        grow_old(folder, age)
        return folder

    def run(self, *arguments):
        """A verb on this home, in this process."""
        return CliRunner().invoke(main, [*arguments, "--home", str(self.folder)])

    def said(self, *arguments):
        """What a verb that ends well prints."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def told(self, *arguments):
        """The same as JSON."""
        return json.loads(self.said(*arguments, "--json"))

    def refused(self, *arguments):
        """The sentence of a verb that refuses."""
        result = self.run(*arguments)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        return result.stderr.removeprefix("error: ").strip()


def grow_old(path, seconds=7200.0):
    """Let a file or folder have been written so long ago."""
    import os
    import time

    os.utime(path, (time.time() - seconds,) * 2)


@pytest.fixture(name="home")
def home_fixture(tmp_path, monkeypatch):
    """A home whose studies are made of files."""
    for name in ("RAYDD_HOME", "RAYDD_ASSETS", "RAYDD_BANK_GB", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return Home(tmp_path / "home")


@pytest.fixture(scope="session", name="new_home")
def new_home_fixture():
    """`new_home(folder)`: a home for the tests of a module."""
    return Home


@pytest.fixture(scope="session", name="grow_old")
def grow_old_fixture():
    """`grow_old(path, seconds)`."""
    return grow_old
