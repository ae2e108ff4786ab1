"""Small studies on a real Ray and a real MLflow store, shared by the tests of this folder."""

import sys

import pytest

from raydd import DistilledSet, tuning
from raydd import config as configuration

SMALL = {
    "ipc": 2,
    "iterations": 6,
    "data": {"name": "digits"},
    "search": {
        "trials": 4,
        "concurrency": 1,
        "fix": {
            "net": "convnet-w8",
            "batch_real": 16,
            "pool_net": "convnet-w8",
            "pool_size": 1,
            "pool_epochs": 1,
        },
    },
    "evaluation": {"net": "convnet-w8", "epochs": 4, "repeats": 2},
    "confirm": {
        "top": 1,
        "rerank_seeds": 1,
        "report_seeds": 2,
        "max_report_seeds": 2,
        "repeats": 1,
        "baseline_epochs": 2,
    },
    "tracking": {"uri": None},
}


def small(home, name, method="iid", **changes):
    values = configuration.build({**SMALL, "method": method, "home": str(home), "name": name}).model_dump()
    for path, value in changes.items():
        configuration.set_path(values, path.replace("__", "."), value)
    return configuration.build(values)


def run(config):
    with tuning.Progress(live=False) as progress:
        result = tuning.launch(tuning.prepare(config), progress)
    return tuning.Study.open(config.home, config.name), result


@pytest.fixture(scope="session", name="small")
def small_fixture():
    """`small(home, name, **changes)`: a configuration of SMALL; `search__trials=3` sets `search.trials`."""
    return small


@pytest.fixture(scope="session", name="run")
def run_fixture():
    """`run(config)`: search, re-rank and report; the study and its result."""
    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """One finished IID study on digits; read only."""
    home = tmp_path_factory.mktemp("home")
    return run(small(home, "first"))


def runs_of(study):
    from mlflow.tracking import MlflowClient

    links = study.links()
    client = MlflowClient(links["uri"])
    parent = client.get_run(links["run_id"])
    children = client.search_runs(
        [links["experiment_id"]], f"tags.mlflow.parentRunId = '{links['run_id']}'", max_results=1000
    )
    return client, parent, sorted(children, key=lambda child: int(child.data.tags["raydd.trial"]))


def pixels(study, number):
    return DistilledSet.load(study.trial_folder(number) / "distilled.safetensors").pixels


def command(*arguments):
    return [sys.executable, "-m", "raydd", *arguments]


@pytest.fixture(scope="session", name="runs_of")
def runs_of_fixture():
    """`runs_of(study)`: an MLflow client, the parent run, and the child runs by trial."""
    return runs_of


@pytest.fixture(scope="session", name="pixels")
def pixels_fixture():
    """`pixels(study, number)`: of the set that a trial left."""
    return pixels


@pytest.fixture(scope="session", name="command")
def command_fixture():
    """`command(*arguments)`: raydd as a process."""
    return command
