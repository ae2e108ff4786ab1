"""The commit is that of raydd's own checkout, or none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from raydd.storage import provenance

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with packages laid out as raydd's, standing in for the checkout."""
    for package in ("raydd", "trainables", "search_spaces"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "raydd")
    return tmp_path


def commit_now() -> str | None:
    return provenance.git_commit.__wrapped__()


def test_a_clean_checkout_names_its_commit_and_a_changed_one_says_so(checkout: Path) -> None:
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "one")
    head = git(checkout, "rev-parse", "HEAD")
    assert commit_now() == head
    (checkout / "notes.txt").write_text("no code")
    assert commit_now() == head
    (checkout / "trainables" / "__init__.py").write_text("changed = 1")
    assert commit_now() == f"{head}-dirty"


def test_an_installation_inside_somebody_elses_repository_has_no_commit(checkout: Path) -> None:
    (checkout / "theirs.txt").write_text("x")
    git(checkout, "add", "theirs.txt")
    git(checkout, "commit", "-q", "-m", "theirs")
    assert commit_now() is None


def test_without_a_repository_or_without_git_there_is_no_commit(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert commit_now() is None  # nothing committed yet
    monkeypatch.setenv("PATH", "")
    assert commit_now() is None
