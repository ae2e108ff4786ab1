"""A dry run of real steps in a real process; it starts no Ray and leaves nothing behind."""

import json

import pytest
from click.testing import CliRunner

from raydd import config as configuration
from raydd.cli import main
from raydd.errors import StudyError
from raydd.tuning import measurement

SMALL = [
    *("--ipc", "2", "--trials", "3", "--concurrency", "1", "--net", "convnet-w4"),
    *("--eval-epochs", "2", "--eval-repeats", "1", "--fix", "net=convnet-w4", "--fix", "batch_real=8"),
    *("--set", "confirm.top=1", "--set", "confirm.report_seeds=2", "--set", "confirm.repeats=1"),
]
DWA = ["--fix", "teacher=convnet-w4-bn", "--ipc", "2", "--net", "convnet-w4", "--eval-epochs", "2"]


def search(tmp_path, *arguments):
    return CliRunner().invoke(main, ["search", *arguments, "--home", str(tmp_path / "home")])


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """A folder for temporary files that can be looked at."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.integration
def test_a_dry_run_says_what_a_study_takes_and_leaves_nothing(tmp_path, scratch):
    result = search(tmp_path, "dm", *SMALL, "--iterations", "25", "--dry-run")
    assert result.exit_code == 0, result.output
    said = result.stdout
    assert "study dm-digits-ipc2: Distribution matching" in said
    assert "a trial of 25 iterations takes about" in said
    assert "from the target bank" in said
    stages = ("assets", "search", "re-rank", "report", "study")
    rows = [line.split()[0] for line in said.splitlines() if line.split()[:1] and line.split()[0] in stages]
    assert rows[-5:] == list(stages)
    assert "memory: a trial takes" in said
    assert said.rstrip().endswith("no study was started, and nothing was written but caches.")
    assert not (tmp_path / "home").exists()
    assert list(scratch.glob("raydd-*")) == []  # torch makes an empty folder of its own


@pytest.mark.integration
def test_json_holds_the_same_and_nothing_else_is_on_stdout(tmp_path, scratch):
    result = search(tmp_path, "dwa", *DWA, "--iterations", "12", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert "measuring a few steps" in result.stderr
    measured, trial = told["measured"], told["trial"]
    assert trial["iterations"] == 24
    assert measured["period"] == 12
    assert measured["banked_step"] is None  # recovery has no real side
    assert measured["assets"][0] > 0.0
    assert measured["step"] > 0.0
    assert measured["memory"] > 10**8
    assert trial["later_seconds"] == trial["seconds"]
    for case in ("best", "worst"):
        for name, total in told["total"][case].items():
            assert total == pytest.approx(sum(stage[case][name] for stage in told["stages"]))
    assert not (tmp_path / "home").exists()
    assert list(scratch.glob("raydd-*")) == []  # torch makes an empty folder of its own


@pytest.mark.integration
def test_why_a_trial_cannot_be_measured_comes_back_from_its_process(tmp_path, scratch):
    config = configuration.build({"method": "dm", "iterations": 5, "home": str(tmp_path / "home")})
    with pytest.raises(
        StudyError, match="a trial cannot be measured: lr_img: should be greater than 0, got -1"
    ):
        measurement.measure(config, {"lr_img": -1.0})
    assert list(scratch.glob("raydd-*")) == []  # torch makes an empty folder of its own


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dn", "--dry-run"], "unknown method 'dn'"),
        (["dm", "--dry-run", "--net", "convnet-d4"], "needs at least 16 px, got 8"),
        (["dm", "--dry-run", "--gpus-per-trial", "half"], "must be a number or auto, got 'half'"),
        (["dm", "--dry-run", "--data", "digit"], "unknown dataset 'digit'"),
        (["dm", "--json"], "--json: is allowed with --dry-run only"),
    ],
)
def test_bad_input_ends_before_anything_is_measured(tmp_path, arguments, said, monkeypatch):
    monkeypatch.setattr(measurement, "measure", lambda *_: pytest.fail("something was measured"))
    result = search(tmp_path, *arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "home").exists()


def test_a_taken_name_is_refused_as_a_launch_would(tmp_path):
    folder = tmp_path / "home" / "studies" / "first"
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text("method: dm\n")
    result = search(tmp_path, "dm", "--name", "first", "--dry-run")
    assert result.exit_code == 2
    assert "first" in result.stderr
