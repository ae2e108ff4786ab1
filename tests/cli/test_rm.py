import os
import pty
import subprocess
import sys

import pytest

from raydd.tuning import Study


def test_a_study_is_deleted_and_nothing_else(home):
    study, other = home.study(), home.study("other")
    home.trial(study, [0.1], "complete")
    kept = home.asset("pool-0123456789abcdef")
    said = home.said("rm", "first", "--yes")
    assert said.startswith(f"deleted {study.folder}: 1 trials, ")
    assert said.endswith("its runs in MLflow stay\n")
    assert Study.names(home.folder) == ["other"]
    assert sorted(os.listdir(home.folder / "studies")) == ["other"]
    assert other.config.name == "other"
    assert kept.exists()


def test_nobody_to_ask_is_refused_with_the_size(home):
    study = home.study()
    said = home.refused("rm", "first")
    assert said.startswith(f"--yes: is needed to delete {study.folder}: 0 trials, ")
    assert said.endswith("because nobody can be asked here")
    assert study.folder.exists()


def test_a_running_study_is_refused(home):
    study = home.study(running=True)
    assert "study 'first' is running, by process" in home.refused("rm", "first", "--yes")
    assert study.folder.exists()


@pytest.mark.parametrize("name", ["../home", "first/0", ".", "frist"])
def test_only_studies_of_the_home_can_be_named(home, name):
    study = home.study()
    assert f"unknown study {name!r}" in home.refused("rm", name, "--yes")
    assert study.folder.exists()


def test_a_link_to_elsewhere_is_left_to_its_owner(home, tmp_path):
    study = home.study()
    elsewhere = tmp_path / "elsewhere"
    study.folder.rename(elsewhere)
    study.folder.symlink_to(elsewhere)
    assert f"study 'first' is a link to {elsewhere}" in home.refused("rm", "first", "--yes")
    assert (elsewhere / "study.yaml").exists()


def test_on_a_terminal_it_asks(home):
    study = home.study()
    command = [sys.executable, "-m", "raydd.cli", "rm", "first", "--home", str(home.folder)]
    for answer, left in ((b"n\n", True), (b"y\n", False)):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, text=True)
        os.write(ours, answer)
        said, _ = process.communicate(timeout=300)
        os.close(ours)
        os.close(theirs)
        assert process.returncode == 0
        assert f"{study.folder}: 0 trials, " in said
        assert ("nothing was deleted" in said) == left
        assert study.folder.exists() == left
