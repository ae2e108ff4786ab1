"""The manifest says how pixels are stored; the commit is that of raydd's own checkout, or none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from raydd.data import DataSplits
from raydd.formation import IDENTITY, cells_spec
from raydd.registry import Context
from raydd.storage import manifest, provenance

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


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


@needs_git
def test_a_clean_checkout_names_its_commit_and_a_changed_one_says_so(checkout: Path) -> None:
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "one")
    head = git(checkout, "rev-parse", "HEAD")
    assert commit_now() == head
    (checkout / "notes.txt").write_text("no code")
    assert commit_now() == head
    (checkout / "trainables" / "__init__.py").write_text("changed = 1")
    assert commit_now() == f"{head}-dirty"


@needs_git
def test_an_installation_inside_somebody_elses_repository_has_no_commit(checkout: Path) -> None:
    (checkout / "theirs.txt").write_text("x")
    git(checkout, "add", "theirs.txt")
    git(checkout, "commit", "-q", "-m", "theirs")
    assert commit_now() is None


@needs_git
def test_without_a_repository_or_without_git_there_is_no_commit(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert commit_now() is None  # nothing committed yet
    monkeypatch.setenv("PATH", "")
    assert commit_now() is None


def test_a_manifest_tells_how_pixels_are_stored_and_decoded(data: DataSplits) -> None:
    context = Context("colours", channels=3, size=8, classes=3, ipc=2, iterations=50)

    def facts(**stored: Any) -> dict[str, Any]:
        return manifest(
            method="idc",
            hyperparameters={},
            context=context,
            data=data,
            seed=0,
            iteration=7,
            evaluation={"protocol": "idc"},
            **stored,
        )

    plain = facts()
    assert (plain["schema"], plain["pixels"], plain["decode"]) == (3, "normalised", IDENTITY)
    unit = facts(decode=cells_spec(2), pixels="unit")
    assert {key for key in unit if unit[key] != plain[key]} == {"pixels", "decode"}
    assert (unit["pixels"], unit["decode"]) == ("unit", {"kind": "cells", "factor": 2, "form": "single"})
