"""Small studies that are killed in every way that can be arranged on one machine, and what is left of them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from raydd import config as configuration
from raydd import devices, files, jobs
from raydd.data import load_data
from raydd.storage import DistilledSet
from raydd.tuning import Study

FIX = {"net": "convnet-d1-w8", "batch_real": 32}
BASE = {
    "method": "dm",
    "ipc": 2,
    "iterations": 1500,
    "search": {"trials": 4, "concurrency": 2, "scheduler": "none", "fix": FIX},
    "evaluation": {"net": "convnet-d1-w8", "epochs": 10, "repeats": 1},
    "confirm": {
        "top": 1,
        "rerank_seeds": 1,
        "report_seeds": 2,
        "max_report_seeds": 2,
        "repeats": 1,
        "baselines": ["random"],
    },
    "tracking": {"uri": None},
    "compile": "off",
}


def wait_for(condition: Callable[[], Any], seconds: float = 900.0, what: str = "what was waited for") -> Any:
    """What `condition` gives once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.05)
    return found


@dataclass
class Chaos:
    """A study in a home of its own, its driver as a process, and the counts that a test reports.

    Attributes:
        folder: of the test.
        study: of the chosen name.
        path: of its configuration.
        iterations: of a full trial.
        exits: how the drivers ended.
    """

    folder: Path
    study: Study
    path: Path
    iterations: int
    process: subprocess.Popen[bytes] | None = None
    exits: list[int] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.folder / "driver.log"

    def start(self, *more: str) -> None:
        """Begin the study, or go on with it."""
        verb = (
            ["resume", self.study.name]
            if (self.study.folder / "study.yaml").exists()
            else ["search", str(self.path)]
        )
        command = [sys.executable, "-m", "raydd", *verb, "--home", str(self.study.home), *more]
        with self.log.open("ab") as log:
            log.write(f"--- {' '.join(command[2:])}\n".encode())
            log.flush()
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def kill(self, kind: signal.Signals = signal.SIGKILL) -> int:
        """End the driver's process, and wait until it is gone."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, kind)
        return self.wait()

    def wait(self, seconds: float = 900.0) -> int:
        """How the driver ended."""
        assert self.process is not None
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the driver did not end within {seconds:g} s:\n{self.tail()}") from None
        self.exits.append(code)
        return code

    def alive(self) -> bool:
        """Whether the driver runs."""
        return self.process is not None and self.process.poll() is None

    def finish(self) -> None:
        """Resume until the study is done; it must be done at once."""
        self.start()
        assert self.wait() == 0, self.tail()

    def tail(self, lines: int = 40) -> str:
        """The end of what the drivers have printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def workers(self) -> dict[int, int]:
        """Processes of the trials that run: number to process."""
        found = {}
        for number in self.study.numbers():
            trial = self.study.trial_files(number)
            attempts = trial.attempts()
            begun = trial.begun(attempts[-1]) if attempts else {}
            ended = (self.study.trial_folder(number) / "end.json").exists()
            if begun and not ended and Path(f"/proc/{begun['pid']}").exists():
                found[number] = int(begun["pid"])
        return found

    def reported(self, number: int) -> int:
        """The last iteration that trial `number` has reported."""
        rows = self.study.history(number)
        return int(rows[-1]["iteration"]) if rows else -1

    def has_reported(self, number: int) -> bool:
        """Whether the newest attempt of trial `number` has got farther than it began."""
        trial = self.study.trial_files(number)
        begun = trial.begun(trial.attempts()[-1])
        return bool(begun) and any(found.iteration > begun["iteration"] for found in trial.checkpoints())

    def reached(self, number: int, share: float) -> bool:
        """Whether trial `number` has reported that so much of it is done, or nobody works on it any more."""
        return not self.alive() or self.reported(number) >= share * self.iterations

    def account(self) -> dict[str, Any]:
        """What became of the study: the figures that every test of this folder prints and checks."""
        config, trials = self.study.config, self.study.trials()
        outcomes = Counter(trial.outcome for trial in trials)
        repeated, rerun_whole = 0, 0
        for trial in trials:
            counted = {int(row["iteration"]) for row in self.study.history(trial.number)}
            trial_files = self.study.trial_files(trial.number)
            rows = [
                int(row["iteration"])
                for number in trial_files.attempts()
                for row in files.read_jsonl(trial_files.attempt_folder(number) / "history.jsonl")
            ]
            repeated += len(rows) - len(counted)
            end = self.study.trial_folder(trial.number) / "end.json"
            begun = [trial_files.attempt_folder(number) / "begun.json" for number in trial_files.attempts()]
            rerun_whole += end.exists() and any(
                path.exists() and path.stat().st_mtime > end.stat().st_mtime for path in begun
            )
        return {
            "asked": config.search.trials,
            "finished": outcomes["complete"] + outcomes["pruned"],
            "failed": outcomes["failed"],
            "lost": config.search.trials - len(trials),
            "repeated": rerun_whole,  # finished, and begun again all the same
            "attempts": sum(len(self.study.trial_files(trial.number).attempts()) for trial in trials),
            "reports_made_twice": repeated,
            "runs": run_states(self.study),
        }

    def check(self, **expected: Any) -> dict[str, Any]:
        """Everything asked for is there, once, and equal to what an uninterrupted trial gives; returns the account."""
        account = self.account()
        equal = [trial.number for trial in self.study.trials() if self.images_equal(trial.number)]
        facts = {**account, "images_equal": len(equal), **expected}
        print(f"\n{self.study.name}: {', '.join(f'{name} {value}' for name, value in facts.items())}")
        assert account["finished"] == account["asked"]
        assert (account["failed"], account["lost"], account["repeated"]) == (0, 0, 0)
        assert account["runs"] == {"FINISHED": account["asked"] + 1}
        assert self.study.report() is not None
        for trial in self.study.trials():
            rows = [row["iteration"] for row in self.study.history(trial.number)]
            assert rows == sorted(set(rows)), f"trial {trial.number} has reports twice"
            assert trial.number in equal, f"trial {trial.number} has other images"
        return account

    def images_equal(self, number: int) -> bool:
        """Whether trial `number` ended with the images, bit for bit, that it makes when nothing interrupts it."""
        again = rerun(self.study, number, self.folder / "rerun" / self.study.name / str(number))
        made = DistilledSet.load(self.study.trial_folder(number) / "distilled.safetensors")
        return torch.equal(made.pixels, again.pixels)


def run_states(study: Study) -> dict[str, int]:
    """How many MLflow runs of the study, its parent among them, have which status; no step of a metric twice."""
    from mlflow.tracking import MlflowClient

    links = study.links()
    assert links is not None
    client = MlflowClient(links["uri"])
    children = client.search_runs(
        [links["experiment_id"]], f"tags.mlflow.parentRunId = '{links['run_id']}'", max_results=1000
    )
    numbers = [child.data.tags["raydd.trial"] for child in children]
    assert len(numbers) == len(set(numbers)), "a trial has two runs"
    for child in children:
        steps = [metric.step for metric in client.get_metric_history(child.info.run_id, "loss/total")]
        assert len(steps) == len(set(steps)), f"trial {child.data.tags['raydd.trial']} has steps twice"
    return dict(
        Counter([client.get_run(links["run_id"]).info.status, *(child.info.status for child in children)])
    )


def rerun(study: Study, number: int, folder: Path) -> DistilledSet:
    """The set that the trial makes when nothing interrupts it."""
    from trainables.run import TrialRun

    trial = TrialRun(study.folder, number, folder=folder)
    while not trial.next_report()["done"]:
        pass
    return trial.distiller.distilled()


@pytest.fixture
def chaos(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Chaos]]:
    """`chaos(name, home=..., **changes)`: a study that has not begun; `search__trials=3` sets `search.trials`."""
    made: list[Chaos] = []

    def make(name: str, home: Path | None = None, **changes: Any) -> Chaos:
        home = home or tmp_path / "home"
        values = configuration.build({**BASE, "home": str(home), "name": name}).model_dump()
        for field_, value in changes.items():
            configuration.set_path(values, field_.replace("__", "."), value)
        config = configuration.build(values)
        path = tmp_path / f"{name}.yaml"
        path.write_text(configuration.dump_yaml(config))
        assert config.iterations is not None
        made.append(Chaos(tmp_path, Study(config.folder), path, config.iterations))
        return made[-1]

    yield make
    for one in made:
        if one.alive():
            one.kill()


@pytest.fixture(scope="session")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], int]:
    """`lasting(seconds)`: iterations that a trial works for so long on this machine, as busy as it is now.

    A fixed number would be over before anything is killed on a fast machine, and take hours on a busy one.
    """
    config = configuration.build({**BASE, "home": str(tmp_path_factory.mktemp("pace"))})
    job = jobs.open_job(config, load_data(config.data), home=Path(config.home))
    devices.prepare_process(1)
    distiller = job.distiller({}, 0)
    pace = []
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(50):
            distiller.step()
        pace.append(50 / (time.perf_counter() - begun))
    return lambda seconds: max(400, 20 * round(seconds * statistics.median(pace) / 20))


@pytest.fixture(autouse=True)
def awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials get their share of a machine that does other things too; Ray's niceness of 15 would starve them."""
    monkeypatch.setenv("RAY_worker_niceness", "0")


@pytest.fixture
def moments() -> random.Random:
    """Draws the moments at which something dies; the seed is RAYDD_CHAOS_SEED, or 0."""
    return random.Random(int(os.environ.get("RAYDD_CHAOS_SEED", "0")))


@pytest.fixture(scope="session", name="wait_for")
def wait_for_fixture() -> Callable[..., Any]:
    """`wait_for(condition, seconds)`."""
    return wait_for
