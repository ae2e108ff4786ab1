"""`raydd --help` stays fast because it imports nothing heavy, and says what each verb does."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from raydd.cli import VERBS, main

HEAVY = ("torch", "torchvision", "ray", "mlflow", "optuna", "pydantic", "numpy", "rich", "yaml")


def loaded_after(code):
    listing = f"import sys\n{code}\nprint(sorted(n for n in {HEAVY!r} if n in sys.modules))"
    return subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["search", "--help"], ["evaluate", "--help"], ["ui", "--help"]]
)
def test_help_imports_nothing_heavy(arguments):
    code = f"from raydd.cli import main\nmain({arguments!r}, standalone_mode=False)"
    assert loaded_after(code).splitlines()[-1] == "[]"


def test_importing_the_command_line_imports_no_verb():
    code = "import sys, raydd.cli\nprint([n for n in sys.modules if n.startswith('raydd.cli.')])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_two_examples(verb):
    command = main.get_command(None, verb)
    assert isinstance(command, click.Command)
    printed = CliRunner().invoke(main, [verb, "--help"])
    assert printed.exit_code == 0
    _, _, examples = printed.output.partition("Examples:\n")
    assert examples.count(f"  raydd {verb} ") + examples.count(f"  raydd {verb}\n") == 2


def test_help_lists_every_verb_with_its_summary():
    printed = CliRunner().invoke(main, ["--help"]).output
    for verb, summary in VERBS.items():
        assert f"  {verb} " in printed
        assert summary.split(",")[0] in " ".join(printed.split())


def test_an_unknown_verb_is_a_usage_error():
    result = CliRunner().invoke(main, ["serach"])
    assert result.exit_code == 2
    assert "serach" in result.stderr
