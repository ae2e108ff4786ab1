"""`raydd get` before it asks the tracking store for anything; what it fetches is tested beside a real server."""

import pytest
from click.testing import CliRunner

from raydd.cli import main


@pytest.mark.parametrize("name", ["a.safetensors", "a.png"])
def test_neither_the_file_nor_the_picture_beside_it_is_overwritten_unless_told(tmp_path, name):
    (tmp_path / name).write_text("mine")
    arguments = [
        "get",
        "first/best",
        "--out",
        str(tmp_path / "a.safetensors"),
        "--home",
        str(tmp_path / "home"),
    ]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--out: {tmp_path / name} exists already" in result.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]
