"""`resume`, `extend`, `add`, `rerun` and the new flags of `search`: what needs no Ray."""

import pytest
from click.testing import CliRunner

from raydd import config as configuration
from raydd import files
from raydd.cli import main, options
from raydd.cli.extend import extend
from raydd.cli.resume import resume
from raydd.tuning import Study

FIX = {"net": "convnet-d1-w4", "batch_real": 8}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Three trials of DM, one of which has ended, and a quarter of an hour that is used up."""
    monkeypatch.setenv("RAYDD_HOME", str(tmp_path))
    values = {
        "method": "dm",
        "name": "first",
        "home": str(tmp_path),
        "iterations": 6,
        "search": {"trials": 3, "fix": FIX},
        "evaluation": {"net": "convnet-d1-w4"},
        "budget": {"hours": 0.25},
        "compile": "off",
        "tracking": {"uri": None},
    }
    study = Study.create(configuration.build(values), {"study_id": "x"})
    study.unlock()
    drawn = {"number": 0, "source": "default", "searched": {"lr_img": 1.0}, "values": {"lr_img": 1.0, **FIX}}
    files.write_json(study.trial_folder(0) / "hyperparameters.json", {**drawn, "iterations": 6, "seed": 0})
    attempt = study.trial_files(0).claim()
    attempt.begin(None, {})
    row = {"iteration": 6, "evaluated": 1, "val_accuracy": 0.5, "val_accuracy_std": 0.0, "attempt": 1}
    attempt.report({**row, "seconds": 900.0})
    study.write_end(0, "complete", "")
    files.write_json(study.folder / "sessions" / "1.json", {"seconds": 900.0})
    return study


def raydd(*arguments):
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.parametrize("verb", ["resume", "extend"])
def test_spent_hours_exit_75_at_once_and_name_the_flag(study, verb):
    result = raydd(verb, "first")
    assert result.exit_code == 75, result.output
    assert (
        "2 of 3 trials of study first are left, and the budget of 0.25 hours is spent (0.25 hours used); "
        "`raydd resume first --hours +H` goes on" in result.stdout
    )
    assert study.extensions() == []
    assert not study.is_running()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trials", "2"], "error: --trials: 2 are fewer than the 3 that study 'first' was asked for"),
        (
            ["--trials", "many"],
            "error: --trials: must be a whole number such as 40, or +10 for ten more, got 'many'",
        ),
        (
            ["--hours", "0.2"],
            "error: --hours: 0.2 would be spent at once, because study 'first' has used 0.25",
        ),
        (["--patience", "0"], "Error: Invalid value for '--patience'"),
    ],
)
def test_what_cannot_be_had_is_refused_and_leaves_no_trace(study, arguments, said):
    result = raydd("resume", "first", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert study.extensions() == []
    assert not study.is_running()
    assert raydd("resume", "first").exit_code == 75  # the lock was given back


def test_nothing_is_written_where_the_study_cannot_be_planned(study):
    files.write_json(study.folder / "fingerprint.json", "other data")
    result = raydd("resume", "first", "--trials", "+3", "--hours", "+1")
    assert result.exit_code == 2
    assert "study 'first' was made from other data than digits holds now" in result.stderr
    assert study.extensions() == []
    assert not study.is_running()


def test_a_study_in_use_is_not_extended(study):
    study.lock()
    try:
        result = raydd("resume", "first", "--trials", "+3")
    finally:
        study.unlock()
    assert result.exit_code == 2
    assert "study 'first' is in use by process" in result.stderr
    assert study.extensions() == []


def test_extend_takes_what_resume_takes():
    assert extend.params == resume.params
    assert extend.callback is resume.callback
    assert {"trials", "hours", "gpu_hours", "patience"} <= {option.name for option in resume.params}


def test_add_says_which_trial_will_run_and_how(study):
    result = raydd("add", "first", "--hp", "lr_img=2.5")
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "trial 1 will run next: lr_img=2.5\n"
        "study first is not running; `raydd resume first --hours +H` runs it\n"
    )
    assert study.config.search.trials == 4
    assert study.added_points() == [{"lr_img": 2.5}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--hp", "lr_img=1"], "error: --hp: trial 0 of study 'first' has these values already (complete)"),
        (["--hp", "lr_image=1"], "did you mean 'lr_img'?"),
        (["--hp", "lr_img"], "error: --hp: 'lr_img' is not NAME=VALUE"),
        ([], "Missing option '--hp'"),
    ],
)
def test_add_refuses_in_one_sentence(study, arguments, said):
    result = raydd("add", "first", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert study.extensions() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["first"], "name the trial once"),
        (["first/0", "--trial", "0"], "name the trial once"),
        (["first", "--trial", "7"], "has no trial 7"),
        (["first/bset"], "must be a number, 'best' or 'default'"),
        (["first/0"], "trial 0 of study 'first' has not been evaluated yet"),
        (["frist/0"], "unknown study 'frist': did you mean 'first'?"),
    ],
)
def test_rerun_refuses_in_one_sentence(study, arguments, said):
    result = raydd("rerun", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_budget_flags_of_search_become_fields():
    flags = {"hours": 1.5, "gpu_hours": 4.0, "patience": 6}
    budget = options.study_config("dm", flags=flags).budget
    assert (budget.hours, budget.gpu_hours, budget.patience) == (1.5, 4.0, 6)
    result = raydd("search", "dm", "--hours", "0", "--patience", "0")
    assert result.exit_code == 2
    assert "error: budget.hours: should be greater than 0, got 0.0" in result.stderr
    assert "error: budget.patience: should be greater than or equal to 1, got 0" in result.stderr


def test_a_warm_start_from_another_method_starts_nothing(study):
    result = raydd(
        "search", "idm", "--data", "digits", "--compile", "off", "--name", "second", "--warm-start", "first, "
    )
    assert result.exit_code == 2
    assert "error: --warm-start: study 'first' has searched 'dm'" in result.stderr
    assert Study.names(study.home) == ["first"]
