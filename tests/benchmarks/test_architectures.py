"""The cross-architecture table: measured for real on digits at a tiny budget, resumed, drops from the own network."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.table import bench, plan
from benchmarks.table.architectures import command, markdown
from raydd import files
from raydd.errors import ConfigError

TINY = ["--iterations", "3", "--epochs", "2", "--net", "convnet-w4", "--ipc", "1"]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.integration
def test_sets_are_kept_and_the_same_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = plan.Squeeze("convnet-bn", 1, "convnet-d1-w4-bn", 2)
    monkeypatch.setattr(bench, "TEACHERS", {"ConvNet": tiny})
    path, home = tmp_path / "rows.jsonl", tmp_path / "home"
    own = [str(path), *TINY, "--home", str(home), "--architecture", "mlp"]
    run(*own, "--row", "DM")
    sets = sorted((home / "sets").glob("*.safetensors"))
    before = path.read_bytes()
    text = run(*own, "--row", "DM", "--row", "DWA, ConvNet")
    assert path.read_bytes().startswith(before)
    records = [(row["row"], row["net"], row["label_regime"]) for row in files.read_jsonl(path)]
    assert records == [
        ("DM", "convnet-w4", "hard"),
        ("DM", "mlp", "hard"),
        ("DWA, ConvNet", "convnet-d1-w4-bn", "soft"),
        ("DWA, ConvNet", "convnet-d1-w4-bn", "hard"),
        ("DWA, ConvNet", "mlp", "soft"),
        ("DWA, ConvNet", "mlp", "hard"),
    ]
    after = sorted((home / "sets").glob("*.safetensors"))
    assert len(after) == 2
    assert set(sets) < set(after)
    again = path.read_bytes()
    assert run(*own, "--row", "DM", "--row", "DWA, ConvNet") == text
    assert path.read_bytes() == again
    assert "IPC 1, hard labels" in text
    assert "IPC 1, soft labels" in text


def test_the_drop_is_the_distance_to_the_own_network() -> None:
    settings = {"dataset": "digits", "iterations": 3, "epochs": 2, "repeats": 1, "precision": "fp32"}
    common = {
        "settings": settings,
        "row": "DM",
        "ipc": 1,
        "own": "convnet",
        "label_regime": "hard",
        "protocol": "dsa",
    }
    records = [{**common, "net": "convnet", "mean": 0.5}, {**common, "net": "mlp", "mean": 0.375}]
    text = markdown([*records, {**common, "row": "IDC", "net": "convnet", "mean": 0.25, "protocol": "idc"}])
    assert text.splitlines()[0] == "### digits, IPC 1, hard labels, protocol dsa"
    assert text.splitlines()[4:] == [
        "| | DM |",
        "|---|---|",
        "| convnet | **50.0** |",
        "| mlp | 37.5 (+12.5) |",
        "",
        "### digits, IPC 1, hard labels, protocol idc",
        "",
        text.splitlines()[2],
        "",
        "| | IDC |",
        "|---|---|",
        "| convnet | **25.0** |",
    ]


def test_an_unknown_row_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'X' is no row at IPC 1 .*DWA, ConvNet"):
        command.main([str(tmp_path / "rows"), *TINY, "--row", "X"], standalone_mode=False)
