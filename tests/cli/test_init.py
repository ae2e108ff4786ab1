import pytest
import yaml
from click.testing import CliRunner

from raydd import config, tuning
from raydd.cli import main, options


def init(*arguments):
    return CliRunner().invoke(main, ["init", *arguments])


@pytest.mark.parametrize("method", ["dm", "iid"])
def test_the_file_is_a_study_as_it_is(method, tmp_path):
    file = tmp_path / "study.yaml"
    result = init(method, "--ipc", "1", "--data", "cifar10", "--set", "search.trials=5", "--out", str(file))
    assert result.exit_code == 0, result.output
    assert result.stdout == f"wrote {file}; start it with `raydd search {file}`\n"
    study = config.build(yaml.safe_load(file.read_text()))
    assert (study.method, study.ipc, study.data.name, study.search.trials) == (method, 1, "cifar10", 5)
    assert study.iterations == 20_000


def test_search_takes_the_file_as_it_is(tmp_path):
    file = tmp_path / "study.yaml"
    assert init("iid", "--data", "digits", "--set", "compile=off", "--out", str(file)).exit_code == 0
    plan = tuning.prepare(options.study_config(str(file), flags={"home": str(tmp_path / "home")}))
    assert plan.config.name == "iid-digits-ipc10"
    assert (plan.context.iterations, plan.config.search.trials) == (20_000, 16)
    assert plan.config.compile == "off"
    assert not (tmp_path / "home").exists()


def test_the_file_shows_precision_and_compile_with_what_they_take(tmp_path):
    file = tmp_path / "study.yaml"
    assert init("iid", "--set", "compile=on", "--out", str(file)).exit_code == 0
    lines = file.read_text().splitlines()
    assert "precision: fp32" in lines
    assert "compile: 'on'" in lines  # a bare on would be a boolean
    assert lines[lines.index("compile: 'on'") - 2].startswith(
        "# whether networks are compiled: `on`, `off`, or `auto`"
    )
    assert any(line.startswith("# `fp32`; `mixed`, bfloat16 where no image gradient flows") for line in lines)


def test_a_dataset_with_a_name_is_not_downloaded(tmp_path):
    root = tmp_path / "data"
    result = init("iid", "--data", "cifar10", "--data-root", str(root), "--out", str(tmp_path / "s.yaml"))
    assert result.exit_code == 0, result.output
    assert not root.exists()
    assert "published 1" in (tmp_path / "s.yaml").read_text()


def test_a_file_that_exists_is_kept(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("mine")
    result = init("iid", "--out", str(file))
    assert result.exit_code == 2
    assert result.stderr == f"error: --out: {file} exists already; remove it, or name another file\n"
    assert file.read_text() == "mine"


def test_mistakes_write_nothing(tmp_path):
    file = tmp_path / "study.yaml"
    for arguments, said in [
        (["iidd"], "did you mean 'iid'?"),
        (["iid", "--ipc", "0"], "ipc: should be greater than or equal to 1, got 0"),
        (["iid", "--data", f"{tmp_path}/nothing"], "nothing"),
    ]:
        result = init(*arguments, "--out", str(file))
        assert result.exit_code == 2
        assert said in result.stderr
        assert not file.exists()
    assert "must end in .yaml" in init("iid", "--out", str(tmp_path / "study.json")).stderr
