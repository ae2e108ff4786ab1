import json

from click.testing import CliRunner

from raydd import registry
from raydd.cli import main
from raydd.data import catalog


def run(*arguments):
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_methods_are_listed_with_their_base_and_length():
    row = next(line for line in run("methods").splitlines() if line.split()[:1] == ["iid"])
    assert " dm or idm " in row
    assert "20000 iterations" in row


def test_methods_as_json():
    rows = {row["name"]: row for row in json.loads(run("methods", "--json"))}
    assert set(rows) == set(registry.names())
    assert (rows["iid"]["base"], rows["dm"]["base"], rows["iid"]["protocol"]) == ("dm", None, "dsa")
    bases = {name: row["bases"] for name, row in rows.items()}
    expected = {
        "dm": [],
        "idm": [],
        "idc": [],
        "sre2l": [],
        "iid": ["dm", "idm"],
        "udd": ["idc"],
        "dwa": ["sre2l"],
    }
    assert bases == expected


PROBLEM = (
    "method: 'broken' is installed as 'not_there:METHOD' and cannot be loaded: No module named 'not_there'"
)


def test_a_plug_in_that_cannot_be_loaded_is_listed_with_the_reason(tmp_path, monkeypatch):
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[raydd.methods]\nbroken = not_there:METHOD\n")
    monkeypatch.syspath_prepend(tmp_path)
    rows = {row["name"]: row for row in json.loads(run("methods", "--json"))}
    assert rows["broken"] == {"name": "broken", "problem": PROBLEM}
    assert "title" in rows["iid"]
    assert "cannot be loaded: No module named 'not_there'" in run("methods")


def test_datasets_are_listed_with_their_facts():
    row = next(line for line in run("datasets").splitlines() if line.split()[:1] == ["digits"])
    assert [cell.strip() for cell in row.split("   ") if cell.strip()] == [
        "digits",
        "handwritten digits, small",
        "8x8 grey",
        "10",
        "1797",
        "0",
        "part of scikit-learn",
    ]
    assert "or a folder:" in run("datasets")


def test_datasets_as_json():
    assert [row["name"] for row in json.loads(run("datasets", "--json"))] == [info.name for info in catalog()]
