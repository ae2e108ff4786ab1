"""Studies that are cut off go on as if they had not been, and test labels change nothing before the report."""

import os
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from raydd import config as configuration
from raydd import files
from raydd.tuning import Study

pytestmark = pytest.mark.integration


def write_digits(folder, shuffle_test):
    """Digits as images, a class a folder; with `shuffle_test` the test labels are permuted."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))[:600]
    for position, index in enumerate(order):
        split = "test" if position < 100 else "val" if position < 200 else "train"
        label = data.target[index]
        if shuffle_test and split == "test":
            label = (label + 3) % 10
        path = folder / split / str(label) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((data.images[index] * 255 / 16).astype(np.uint8)).save(path)


def test_shuffled_test_labels_change_no_figure_before_the_report(tmp_path, small, run, pixels):
    studies = []
    for shuffle in (False, True):
        folder = tmp_path / ("shuffled" if shuffle else "true")
        write_digits(folder, shuffle)
        changes = {"search__trials": 3, "data__name": str(folder), "confirm__baselines": ["random"]}
        config = small(tmp_path / f"home-{shuffle}", "s", **changes)
        studies.append(run(config))
    (one, first), (other, second) = studies
    for number in range(3):
        assert one.trial(number).values == other.trial(number).values
        rows = [study.history(number) for study in (one, other)]
        keys = ("iteration", "val_accuracy", "val_accuracy_std", "loss/total")
        first_rows, second_rows = [[[row.get(key) for key in keys] for row in part] for part in rows]
        assert first_rows == second_rows
        assert torch.equal(pixels(one, number), pixels(other, number))
    winners = [files.read_json(study.folder / "confirm" / "winner.json") for study in (one, other)]
    assert winners[0] == winners[1]
    assert first.report["arms"][0]["runs"] != second.report["arms"][0]["runs"]


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def cut(driver, reached, kind, log):
    """Start a driver, send it a signal once `reached()`; its exit code."""
    with log.open("w") as file:
        process = subprocess.Popen(driver, stdout=file, stderr=file)
        wait_for(lambda: process.poll() is not None or reached())
        os.kill(process.pid, kind)
        return process.wait(timeout=120)


def test_an_interrupted_study_closes_its_runs_and_resumes_to_the_same_images(
    tmp_path, small, run, runs_of, pixels, command
):
    changes = {"iterations": 60, "search__trials": 3, "search__scheduler": "none"}
    changes["confirm__baselines"] = ["random"]
    whole, _ = run(small(tmp_path / "whole", "cut", **changes))
    config = small(tmp_path / "cut", "cut", **changes)
    path, log = tmp_path / "study.yaml", tmp_path / "log"
    path.write_text(configuration.dump_yaml(config))
    study = Study(config.folder)

    def reports(count):
        return lambda: len(study.history(1)) >= count

    assert cut(command("search", str(path)), reports(4), signal.SIGTERM, log) == 75, log.read_text()
    assert "raydd resume cut --home" in log.read_text()
    outcomes = [trial.outcome for trial in study.trials()]
    assert outcomes[0] == "complete"
    assert "interrupted" in outcomes
    _, parent, children = runs_of(study)
    assert parent.info.status == "KILLED"
    assert {child.info.status for child in children} <= {"FINISHED", "KILLED"}

    resume = ["resume", "cut", "--home", config.home]
    refused = subprocess.run(command("confirm", *resume[1:]), capture_output=True, text=True, timeout=300)
    assert refused.returncode == 2
    assert "of 3 trials unfinished; `raydd resume cut` first" in refused.stderr
    winner = study.folder / "confirm" / "winner.json"
    assert cut(command(*resume), winner.exists, signal.SIGINT, log) == 130, log.read_text()
    resumed = subprocess.run(command(*resume), capture_output=True, text=True, timeout=300)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert [trial.outcome for trial in study.trials()] == ["complete"] * 3
    for number in range(3):
        assert torch.equal(pixels(study, number), pixels(whole, number))
        assert study.trial(number).val_accuracy == whole.trial(number).val_accuracy
    assert study.history(1)[-1]["attempt"] == 2
    client, parent, children = runs_of(study)
    assert parent.info.status == "FINISHED"
    assert [child.info.run_name for child in children] == ["0", "1", "2"]
    for child in children:
        steps = [metric.step for metric in client.get_metric_history(child.info.run_id, "loss/total")]
        assert steps == list(range(3, 61, 3))
