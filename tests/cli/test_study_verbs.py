"""The verbs of a study on one that was really searched: Ray, sqlite and digits, with tiny networks."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest
import yaml
from click.testing import CliRunner

from raydd import files
from raydd.cli import main

pytestmark = pytest.mark.integration

TINY = {
    "search.concurrency": 2,
    "confirm.top": 1,
    "confirm.rerank_seeds": 1,
    "confirm.report_seeds": 2,
    "confirm.max_report_seeds": 2,
    "confirm.repeats": 1,
}
SEARCH = "search dm --data digits --ipc 1 --iterations 4 --trials 3 --net convnet-w4 --eval-epochs 1 --eval-repeats 2"


def raydd(*arguments, cwd, timeout=300):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("RAYDD", "MLFLOW"))
    }
    command = [sys.executable, "-m", "raydd.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A folder with one finished study `first`, and how the search ended."""
    cwd = tmp_path_factory.mktemp("searched")
    settings = [word for path, value in TINY.items() for word in ("--set", f"{path}={value}")]
    fixed = ["--fix", "net=convnet-w4", "--fix", "batch_real=8"]
    result = raydd(*SEARCH.split(), *fixed, *settings, "--name", "first", cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr
    return cwd, result


def inside(searched, verb, *arguments):
    """A verb that starts no Ray, in this process."""
    home = ["--home", str(searched[0] / "raydd-runs")] if verb != "evaluate" else []
    return CliRunner().invoke(main, [verb, *map(str, arguments), *home])


def show(searched, *arguments):
    result = inside(searched, "show", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_search_prints_the_plan_the_trials_the_comparison_and_the_next_step(searched):
    said = searched[1].stdout
    assert "trial 0: CIFAR-10's published setting, carried over" in said
    assert re.search(r"^validation: \d+ images of 10 classes.* standard error", said, re.M)
    assert len(re.findall(r"^trial \d complete: 4/4, val \d+\.\d ± \d+\.\d %", said, re.M)) == 3
    assert "Accuracy on test data: protocol dsa, 1 epochs, 1 net for each distilled set, hard labels" in said
    assert re.search(r"winner - random", said)
    assert said.rstrip().endswith("look at it: raydd ui first   or   raydd show first")


def test_show_ranks_the_trials_as_json_does(searched):
    told = json.loads(show(searched, "first", "--json"))
    assert [row["rank"] for row in told["trials"]] == [1, 2, 3]
    accuracies = [row["val_accuracy"] for row in told["trials"]]
    assert accuracies == sorted(accuracies, reverse=True)
    text = show(searched, "first")
    rows = [line.split() for line in text.splitlines() if "complete" in line.split()]
    assert [int(row[1]) for row in rows] == [row["number"] for row in told["trials"]]
    assert rows[0][3] == f"{100 * accuracies[0]:.1f}"
    assert "search estimate" in text
    assert "Accuracy on test data" in text


def test_show_tells_one_trial_in_detail(searched):
    best = json.loads(show(searched, "first/best", "--json"))
    assert best["rank"] == 1
    assert json.loads(show(searched, f"first/{best['number']}", "--json")) == best
    default = show(searched, "first/default")
    assert "default (CIFAR-10's published setting, carried over)" in default
    assert re.search(r"^lr_img +1$", default, re.M)


def test_show_refuses_trials_that_are_not_there(searched):
    for trial, said in [("9", "has no trial 9"), ("bset", "must be a number, 'best' or 'default'")]:
        result = inside(searched, "show", f"first/{trial}")
        assert result.exit_code == 2
        assert said in result.stderr


def test_a_name_in_use_is_refused_before_anything_starts(searched):
    cwd, _ = searched
    before = sorted(path.name for path in (cwd / "raydd-runs" / "studies").iterdir())
    result = inside(searched, "search", "dm", "--name", "first")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: name: study 'first' exists already in")
    assert sorted(path.name for path in (cwd / "raydd-runs" / "studies").iterdir()) == before


def test_the_saved_configuration_holds_what_flags_said(searched):
    saved = yaml.safe_load((searched[0] / "raydd-runs" / "studies" / "first" / "study.yaml").read_text())
    assert saved["search"]["fix"] == {"net": "convnet-w4", "batch_real": 8}
    assert (saved["evaluation"]["epochs"], saved["confirm"]["top"]) == (1, 1)


def test_evaluating_a_set_of_the_study_on_test_is_counted(searched):
    folder = searched[0] / "raydd-runs" / "studies" / "first"
    before = len(files.read_jsonl(folder / "test_ledger.jsonl"))
    result = inside(
        searched, "evaluate", folder / "distilled.safetensors", "--net", "convnet-w4", "--epochs", "1"
    )
    assert result.exit_code == 0, result.output
    rows = files.read_jsonl(folder / "test_ledger.jsonl")
    assert len(rows) == before + 1
    assert rows[-1]["file"] == "distilled.safetensors"


def test_resuming_a_finished_study_tells_its_report_again(searched):
    result = raydd("resume", "first", cwd=searched[0])
    assert result.returncode == 0, result.stderr
    assert "Accuracy on test data" in result.stdout


def test_confirm_adds_seeds_and_keeps_the_old_runs(searched):
    before = json.loads(show(searched, "first", "--json"))["report"]
    result = raydd("confirm", "first", "--seeds", "3", "--json", cwd=searched[0])
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert len(report["seeds"]) == 3
    assert report["seeds"][:2] == before["seeds"]
    assert [arm["runs"][:2] for arm in report["arms"]] == [arm["runs"] for arm in before["arms"]]


def test_ui_serves_the_study_on_this_machine_until_it_is_told_to_stop(searched):
    command = [sys.executable, "-m", "raydd.cli", "ui", "first", "--no-browser"]
    process = subprocess.Popen(
        command, cwd=searched[0], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        address = process.stdout.readline().strip()
        found = re.fullmatch(r"(http://127\.0\.0\.1:(\d+))/#/experiments/(\d+)/runs/([0-9a-f]{32})", address)
        assert found, address + process.stderr.read()
        run = f"{found[1]}/api/2.0/mlflow/runs/get?run_id={found[4]}"
        with urllib.request.urlopen(run, timeout=60) as answer:
            assert json.load(answer)["run"]["info"]["run_name"] == "first"
        taken = raydd("ui", "first", "--no-browser", "--port", found[2], cwd=searched[0])
        assert taken.returncode == 2
        assert f"--port: {found[2]} is in use" in taken.stderr
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(found[1], timeout=5)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
            process.wait(timeout=30)
