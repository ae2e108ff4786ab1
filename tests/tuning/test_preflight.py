"""What is looked at on every node, and what is said about one that differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from raydd import config as configuration
from raydd.errors import ConfigError, StudyError
from raydd.tuning import preflight

MINE = {"Python": "3.11", "raydd": "0.1.0", "torch": "2.13.0+cpu", "the sources of raydd": "0123456789ab"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        (
            {"torch": "2.12.0"},
            "has torch 2.12.0, and this process has 2.13.0+cpu; give all nodes the same versions",
        ),
        ({"Python": "3.12"}, "has Python 3.12, and this process has 3.11; give all nodes the same versions"),
        (
            {"the sources of raydd": "ffffffffffff"},
            "has other sources of raydd than this process (ffffffffffff and 0123456789ab); install the same on "
            "all nodes, or send a wheel along (resources.code)",
        ),
    ],
)
def test_the_first_difference_is_said_with_what_to_do(changed: dict[str, str], said: str) -> None:
    assert preflight.differing(MINE, {**MINE, **changed}) == said


def test_a_wheel_that_is_not_what_is_installed_here_is_to_be_built_anew() -> None:
    said = preflight.differing(MINE, {**MINE, "the sources of raydd": "f" * 12}, "/x/raydd.whl")
    assert said.endswith("build /x/raydd.whl anew from what is installed here")


def test_facts_hold_versions_and_digests_and_differ_by_method() -> None:
    facts = preflight.facts("iid")
    assert list(facts) == [
        *("Python", "raydd", "torch", "ray", "numpy", "safetensors"),
        *("the sources of raydd", "the sources of method iid"),
    ]
    assert all(len(facts[name]) == 12 for name in facts if name.startswith("the sources"))
    assert facts["the sources of method iid"] != preflight.facts("dm")["the sources of method dm"]
    assert preflight.digest_of_method("nothing").startswith("none: method: unknown method 'nothing'")


def test_a_digest_follows_every_source_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "packed"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "inner" / "a.py").write_text("A = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = preflight.digest(["packed"])
    (package / "notes.txt").write_text("not code")
    assert preflight.digest(["packed"]) == before
    (package / "inner" / "a.py").write_text("A = 2\n")
    assert preflight.digest(["packed"]) != before


def test_a_probe_leaves_nothing_behind_not_even_a_home_that_it_had_to_make(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    with preflight.probe(home) as path:
        assert path.parent == home
        assert preflight.look_around("iid", "digits", [path], "n1") == {
            "facts": preflight.facts("iid"),
            "probes": [""],
            "data": "",
        }
        assert (path / "n1").read_text() == (path / preflight.OWN).read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_probe_keeps_a_home_that_was_there_or_that_somebody_has_used_since(tmp_path: Path) -> None:
    with preflight.probe(tmp_path / "home") as path:
        (path.parent / "studies").mkdir()
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["studies"]


def test_a_home_that_cannot_be_written_from_here_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match=r"home: .*file/home cannot be written: Not a directory"):
        with preflight.probe(tmp_path / "file" / "home"):
            pass


def test_a_node_says_which_folder_it_does_not_see_cannot_write_or_lacks(tmp_path: Path) -> None:
    with preflight.probe(tmp_path / "home") as path:
        unseen = preflight.look_around("iid", str(tmp_path / "photos"), [tmp_path / "other"], "n1")
        # Stands in for a read-only mount, which root would not notice as a mode: the file cannot be made.
        (path / "n1").mkdir()
        unwritten = preflight.look_around("iid", "digits", [path], "n1")
    assert unseen["probes"] == ["does not see what this process writes into"]
    assert unseen["data"] == str(tmp_path / "photos")
    assert unwritten["probes"] == ["cannot write (Is a directory) into"]


def test_a_ray_on_this_machine_alone_is_not_looked_at(tmp_path: Path) -> None:
    config = configuration.build({"method": "iid", "home": str(tmp_path / "home")})
    preflight.check(config, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_cluster_that_does_not_answer_is_bad_input(tmp_path: Path) -> None:
    resources = {"address": "127.0.0.1:1"}
    config = configuration.build({"method": "iid", "home": str(tmp_path / "home"), "resources": resources})
    with pytest.raises(
        ConfigError, match=r"^resources: no Ray cluster answers at 127\.0\.0\.1:1 \(Connection refused\)"
    ):
        preflight.check(config, tmp_path / "home")
    assert not (tmp_path / "home").exists()
