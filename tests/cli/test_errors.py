"""User mistakes end in one sentence and an exit code, never in a traceback; bugs do end in a traceback."""

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from raydd.cli import LazyGroup, main
from raydd.errors import ConfigError, StageFailed


class OneVerb(LazyGroup):
    """The real group, with a verb that raises what a test wants."""

    def __init__(self, error):
        super().__init__("raydd")
        self.error = error

    def get_command(self, ctx, cmd_name):
        @click.command()
        def verb():
            raise self.error

        return verb


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError(["a: wrong", "b: wrong too"]), 2, "error: a: wrong\nerror: b: wrong too\n"),
        (StageFailed("none of 3 trials finished"), 1, "error: none of 3 trials finished\n"),
        (FileExistsError(17, "File exists", "a"), 2, "error: a: File exists\n"),
        (IsADirectoryError(21, "Is a directory", "a"), 2, "error: a: Is a directory\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_an_error_becomes_its_sentence_and_exit_code(error, code, said):
    result = CliRunner().invoke(OneVerb(error), ["verb"])
    assert (result.exit_code, result.stderr, result.stdout) == (code, said, "")


def test_a_bug_keeps_its_traceback():
    result = CliRunner().invoke(OneVerb(ZeroDivisionError("bug")), ["verb"])
    assert isinstance(result.exception, ZeroDivisionError)


def refuse(arguments, tmp_path):
    result = CliRunner().invoke(main, [*arguments, "--home", str(tmp_path / "home")])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert not (tmp_path / "home").exists()
    return result.stderr


def test_an_unknown_study_is_named_with_the_home(tmp_path):
    for verb in ("show", "ui", "resume", "confirm"):
        said = refuse([verb, "frist"], tmp_path)
        assert said == f"error: unknown study 'frist' (allowed: none) in {tmp_path}/home\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["iidd"],
            "error: method: unknown method 'iidd': did you mean 'iid'? (allowed: dm, dwa, idc, idm, iid, sre2l, udd)\n",
        ),
        (["iid", "--name", "My Study"], "error: name: 'My Study' must be lower-case letters"),
        (["iid", "--trials", "0"], "error: search.trials: should be greater than or equal to 1, got 0\n"),
        (["iid", "--data", "digit"], "unknown dataset 'digit': did you mean 'digits'?"),
        (["iid", "--net", "convent"], "did you mean 'convnet'?"),
        (["iid", "--fix", "lambda_c=1"], "did you mean 'lambda_cm'?"),
        (["iid", "--fix", "momentum=1.5"], "momentum: should be less than 1, got 1.5"),
        (["iid", "--range", "lambda_cc=-1..1"], "lambda_cc"),
        (["iid", "--ipc", "5000"], "ipc: 5000 images per class are asked for"),
        (["iid", "--set", "evaluation.protocol=das"], "did you mean 'dsa'?"),
        (
            ["iid", "--precision", "fp16"],
            "error: precision: should be 'fp32', 'mixed' or 'bf16', got 'fp16'\n",
        ),
        (["iid", "--compile", "maybe"], "error: compile: should be 'auto', 'on' or 'off', got 'maybe'\n"),
        (["nowhere.yaml"], "error: cannot read nowhere.yaml: No such file or directory\n"),
    ],
)
def test_search_refuses_bad_input_in_a_sentence_and_writes_nothing(arguments, said, tmp_path):
    assert said in refuse(["search", *arguments], tmp_path)


def test_compiling_without_a_compiler_is_refused_in_a_sentence(tmp_path):
    command = [
        sys.executable,
        "-m",
        "raydd.cli",
        "search",
        "dm",
        "--compile",
        "on",
        "--home",
        str(tmp_path / "home"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "CXX"}
    done = subprocess.run(
        command, env={**environment, "PATH": ""}, capture_output=True, text=True, check=False
    )
    compiler = "clang++" if sys.platform == "darwin" else "g++"
    assert done.returncode == 2
    assert done.stderr == (
        "error: compile: 'on' cannot be done, because there is no C++ compiler here: "
        f"{compiler} is not on PATH; use off or auto\n"
    )
    assert not (tmp_path / "home").exists()
