"""The Makefile and .ci/run: what a newcomer and the CI run."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def make(*arguments, cwd):
    # `make test` hands its own flags and variables down, which are none of these tests' business.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=cwd, env=outside, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path):
    """A folder with the Makefile and stand-ins for what `setup` looks at."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "constraints.txt").touch()
    return tmp_path


def test_a_missing_python_is_refused_in_one_sentence(project):
    result = make("setup", "PYTHON=python-that-is-not-here", cwd=project)
    assert result.returncode == 2
    assert "raydd needs Python >= 3.11, and there is no python-that-is-not-here here" in result.stderr
    assert not (project / ".venv").exists()


def test_an_old_python_is_refused_in_one_sentence(project):
    old = project / "old-python"
    old.write_text(
        '#!/bin/sh\nexec python3 -c "import sys; sys.version_info = (3, 9, 1); exec(sys.argv[2])" "$@"\n'
    )
    old.chmod(0o755)
    result = make("setup", f"PYTHON={old}", cwd=project)
    assert result.returncode == 2
    assert f"raydd needs Python >= 3.11, and {old} is 3.9;" in result.stderr
    assert not (project / ".venv").exists()


def test_a_finished_environment_is_reused_until_a_requirement_changes(project):
    stamp = project / ".venv" / ".raydd-installed"
    stamp.parent.mkdir()
    stamp.touch()
    assert make("--question", "setup", cwd=project).returncode == 0
    later = stamp.stat().st_mtime + 10
    os.utime(project / "constraints.txt", (later, later))
    assert make("--question", "setup", cwd=project).returncode == 1


def test_a_second_demo_takes_the_next_free_name(project):
    fake = project / ".venv" / "bin" / "raydd"
    fake.parent.mkdir(parents=True)
    (project / ".venv" / ".raydd-installed").touch()
    fake.write_text(
        '#!/bin/sh\nwhile [ "$1" != --name ]; do shift; done\nmkdir -p raydd-runs/studies/$2\necho "searched $2"\n'
    )
    fake.chmod(0o755)
    said = [make("demo", cwd=project).stdout for _ in range(3)]
    assert ["searched demo\n" in said[0], "searched demo-2\n" in said[1], "searched demo-3\n" in said[2]] == [
        True
    ] * 3
    assert all("set-up: 0 s" in text or "set-up: 1 s" in text for text in said)


def test_the_demo_is_a_command_that_the_command_line_takes():
    from raydd.cli.search import search

    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    line = next(line for line in makefile.splitlines() if line.startswith("DEMO :="))
    context = search.make_context("search", [*line.removeprefix("DEMO := ").split(), "--name", "demo"])
    assert (context.params["method"], context.params["data"], context.params["ipc"]) == ("iid", "digits", 10)


def test_ci_runs_lint_and_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert [line for line in script.read_text().splitlines() if line.startswith("make")] == [
        "make lint",
        "make test",
    ]
