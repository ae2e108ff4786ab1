"""The sbatch script without Slurm: `scontrol` and `srun` are stubs that write down how they are called."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raydd import config as configuration
from raydd.tuning import Study

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "slurm" / "raydd.sbatch"
RAYDD = f'#!/bin/sh\nexec {sys.executable} -m raydd "$@"\n'


@pytest.fixture
def slurm(tmp_path):
    """Environment of a job; what the stubs were called with goes to `calls`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("scontrol", "srun"):
        write_program(folder / name, f'#!/bin/sh\necho "{name} $*" >> {tmp_path / "calls"}\n')
    write_program(folder / "raydd", RAYDD)
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "RAYDD_HOME": str(tmp_path / "home"),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NUM_NODES": "1",
    }


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def submit(slurm, *arguments, log):
    return subprocess.Popen(
        ["bash", str(SCRIPT), *arguments], env=slurm, stdout=log.open("a"), stderr=subprocess.STDOUT
    )


@pytest.mark.slow  # minutes on two cores
def test_a_job_out_of_time_goes_back_to_the_queue_and_the_next_one_finishes(slurm, small, tmp_path):
    changes = {"iterations": 60, "search__trials": 2, "search__scheduler": "none", "confirm__baselines": []}
    config = small(tmp_path / "home", "queued", **changes)
    path, log, calls = tmp_path / "study.yaml", tmp_path / "log", tmp_path / "calls"
    path.write_text(configuration.dump_yaml(config))
    study = Study(config.folder)
    job = submit(slurm, "queued", str(path), log=log)
    end = time.monotonic() + 600
    while len(study.history(0)) < 3:
        assert job.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=120) == 75, log.read_text()
    assert calls.read_text() == "scontrol requeue 4711\n"
    assert "job 4711: study queued was stopped by USR1 and goes back to the queue" in log.read_text()
    first = study.trial(0)
    assert first.iteration < 60 or study.trial(1).iteration < 60

    again = submit(slurm, "queued", str(path), log=log)
    assert again.wait(timeout=600) == 0, log.read_text()
    assert "job 4711: study queued goes on" in log.read_text()
    assert calls.read_text() == "scontrol requeue 4711\n"
    assert [trial.outcome for trial in study.trials()] == ["complete"] * 2
    assert study.report() is not None


@pytest.mark.parametrize(
    ("ends", "warned", "code", "requeued"),
    [
        ("exit 75", True, 75, True),
        ("exit 75", False, 75, False),  # its budget is spent, or somebody has stopped it
        ("exit 0", True, 0, False),  # it was done before the warning took effect
        ("exit 1", True, 1, False),
        ("exit 2", False, 2, False),
        ("trap - USR1; kill -USR1 $$; sleep 9", True, 75, True),  # killed by the warning while it was loaded
    ],
)
def test_only_what_time_has_stopped_is_requeued(slurm, tmp_path, ends, warned, code, requeued):
    waits = "trap 'go=1' USR1; touch begun; while [ -z \"$go\" ]; do sleep 0.05; done; " if warned else ""
    write_program(tmp_path / "bin" / "raydd", f"#!/bin/bash\ncd {tmp_path}\n{waits}{ends}\n")
    job = submit(slurm, "queued", "iid", log=tmp_path / "log")
    if warned:
        while not (tmp_path / "begun").exists():
            assert job.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.02)
        job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=60) == code
    assert (tmp_path / "calls").exists() == requeued


def test_a_new_study_is_searched_under_its_name_and_a_known_one_is_resumed(slurm, tmp_path):
    write_program(tmp_path / "bin" / "raydd", f'#!/bin/sh\necho "raydd $*" >> {tmp_path / "calls"}\n')
    assert submit(slurm, "a", "iid", "--ipc", "1", log=tmp_path / "log").wait(timeout=60) == 0
    folder = tmp_path / "home" / "studies" / "a"
    folder.mkdir(parents=True)
    (folder / "study.yaml").touch()
    assert submit(slurm, "a", "iid", "--ipc", "1", log=tmp_path / "log").wait(timeout=60) == 0
    assert (tmp_path / "calls").read_text() == (
        "raydd search iid --ipc 1 --name a --address local\nraydd resume a --address local\n"
    )
