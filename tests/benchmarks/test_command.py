from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import cases, report

ROOT = Path(__file__).resolve().parents[2]
NAMES = [
    "cli-help",
    "concurrency",
    "data-open",
    "dm-step",
    "dwa-adjustment",
    "evaluation-training",
    "idc-net-update",
    "idc-step-ipc1",
    "idc-step-ipc10",
    "idm-step",
    "iid-step",
    "recover-step",
    "soft-label-training",
    "testing-10k",
    "udd-step-ipc1",
]


def run(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_the_list_names_every_case_without_loading_torch() -> None:
    result = run("--list")
    assert result.returncode == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == NAMES
    loads = (
        "import sys\nfrom benchmarks.__main__ import main\nmain(['--list'])\nprint('torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", loads], cwd=ROOT, capture_output=True, text=True)
    assert printed.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "idd-step"], "error: --only: unknown case 'idd-step': did you mean 'iid-step'?"),
        (["--rounds", "0"], "error: --rounds: must be at least 1, got 0"),
        (["--rounds", "many"], "error: Invalid value for '--rounds': 'many' is not a valid integer."),
        (["--data", "nowhere"], "error: --data: 'nowhere' is no folder"),
        (["--json", "nowhere/a.json"], "error: --json: 'nowhere/a.json' is no file in an existing folder"),
        (["--markdown", "."], "error: --markdown: '.' is no file in an existing folder"),
        (["--fast"], "error: No such option"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(sentence)
    assert len(printed.err.splitlines()) == 1


def test_every_case_has_a_reference_first_and_sides_of_different_names() -> None:
    for name, case in cases.found().items():
        names = [side.name for side in case.sides]
        assert case.name == name
        assert names[0] == "reference"
        assert len(set(names)) == len(names) > 1
        assert len(case.chosen(quick=True)) > 1
        json.dumps([dict(case.full), dict(case.quick)])


def test_a_run_prints_and_writes_what_it_measured(tmp_path: Path) -> None:
    table, raw = tmp_path / "table.md", tmp_path / "raw.json"
    result = run(
        "--quick", "--only", "cli-help", "--rounds", "1", "--markdown", str(table), "--json", str(raw)
    )
    assert result.returncode == 0
    assert result.stdout.startswith("# Speed\n")
    assert result.stdout.rstrip("\n") == table.read_text().rstrip("\n")
    document = json.loads(raw.read_text())
    assert document["quick"] is True
    assert document["machine"]["cores"] >= 1
    [case] = document["cases"]
    reference, ours = case["sides"]
    rounds = [round_ for round_ in case["rounds"] if round_["kept"]]
    assert len(rounds) == 1
    seconds = rounds[0]["seconds"]
    assert 0.005 < seconds["raydd --help"] < seconds["reference"]
    assert ours["ratio"]["median"] == pytest.approx(seconds["reference"] / seconds["raydd --help"])
    assert reference["memory"] > 2 * ours["memory"] > 1e7
    assert document["machine"]["cpu"] in table.read_text()
    assert f"| `cli-help` | reference | {report._time(seconds['reference'])}" in table.read_text()


def test_make_bench_runs_the_benchmarks_with_the_flags_given() -> None:
    # `make test` runs this one, and a make below another would speak of folders.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    printed = subprocess.run(
        ["make", "--dry-run", "bench", "BENCH_FLAGS=--quick --only dm-step"],
        cwd=ROOT,
        env=outside,
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.splitlines()[-1] == ".venv/bin/python -m benchmarks --quick --only dm-step"
    shown = subprocess.run(
        ["make", "help"], cwd=ROOT, env=outside, capture_output=True, text=True, check=True
    )
    assert "  make bench " in shown.stdout


@pytest.mark.slow
def test_a_quick_run_of_everything_takes_less_than_three_minutes_and_agrees(tmp_path: Path) -> None:
    raw = tmp_path / "raw.json"
    result = run("--quick", "--json", str(raw), timeout=180)
    assert result.returncode == 0, result.stderr
    document = json.loads(raw.read_text())
    assert [case["name"] for case in document["cases"]] == NAMES
    assert {"fp32", "bf16", "fp32, 1 thread", "bf16, 1 thread"} == set(document["peak"])
    for case in document["cases"]:
        for side in case["sides"]:
            assert side["problem"] is None
            assert side["seconds"]["low"] > 0
            if case["flops"]:
                assert 0 < side["peak_share"]["median"] < 1.5


def test_a_folder_takes_the_place_of_made_up_images(tmp_path: Path) -> None:
    case = cases.found()["iid-step"]
    settings = command._settings(case.quick, str(tmp_path))
    assert settings["data"] == str(tmp_path.resolve())
    assert settings["ipc"] == case.quick["ipc"]
    assert not {"classes", "per_class"} & set(settings)
    assert command._settings({}, str(tmp_path)) == {}
    assert command._settings(case.quick, None) == case.quick
