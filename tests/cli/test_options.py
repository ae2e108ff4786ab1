import pytest

from raydd.cli import options
from raydd.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("0.05", 0.05),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("none", "none"),
        ("sum", "sum"),
        ("12:30", "12:30"),
        ("yes", "yes"),
        ("1_000", "1_000"),
        ("nan", "nan"),
        ("[convnet, resnet18]", ["convnet", "resnet18"]),
        ("[1,", "[1,"),
        (" convnet ", "convnet"),
    ],
)
def test_texts_become_the_values_that_they_look_like(text, value):
    parsed = options.parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


def config(source="iid", **given):
    given.setdefault("flags", {})
    return options.study_config(source, **given)


def test_flags_override_the_file_and_set_overrides_flags(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("method: iid\nipc: 1\nsearch: {trials: 7, fix: {momentum: 0.1}}\nseed: 5\n")
    study = config(
        str(file),
        flags={"ipc": 10, "trials": 20, "seed": None},
        fix=["lambda_cc=1e-3"],
        range_=["lr_img=0.1..5"],
        settings=["search.trials=30", "confirm.nets=[convnet-w32]"],
    )
    assert (study.method, study.ipc, study.seed) == ("iid", 10, 5)
    assert study.search.trials == 30
    assert study.search.fix == {"momentum": 0.1, "lambda_cc": 0.001}
    assert study.search.range == {"lr_img": "0.1..5"}
    assert study.confirm.nets == ["convnet-w32"]


def test_a_section_without_content_keeps_its_defaults(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text("method: dm\nname:\nsearch:\n  # trials: 3\n")
    assert config(str(file)) == config("dm")


def test_every_problem_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        config(
            flags={"trials": 0},
            fix=["lambda_cc"],
            range_=["=3"],
            settings=["trails=3", "search.sampler=gird"],
        )
    assert caught.value.problems == [
        "--fix: 'lambda_cc' is not NAME=VALUE",
        "--range: '=3' is not NAME=VALUE",
        "search.sampler: should be 'tpe', 'random' or 'grid', got 'gird'",
        "search.trials: should be greater than or equal to 1, got 0",
        "trails: unknown field 'trails': did you mean 'iterations'? (allowed: budget, compile, confirm, data, "
        "evaluation, home, ipc, iterations, method, name, precision, resources, search, seed, tracking)",
    ]


@pytest.mark.parametrize(
    ("option", "flag"), [("fix", "--fix"), ("range_", "--range"), ("grid", "--grid"), ("settings", "--set")]
)
def test_a_name_that_is_given_twice_is_refused(option, flag):
    with pytest.raises(ConfigError) as caught:
        config("dwa", **{option: ["rho=0.1", "k=1", "rho=0.2"]})
    assert f"{flag}: rho is given twice" in caught.value.problems
    with pytest.raises(ConfigError, match="--hp: rho is given twice"):
        options.hyperparameters(["rho=0.1", " rho =0.1"])


def test_a_missing_file_is_named():
    with pytest.raises(ConfigError, match=r"cannot read nowhere/study\.yaml: No such file"):
        config("nowhere/study.yaml")


def test_the_home_comes_from_the_flag_then_the_environment_then_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAYDD_HOME", raising=False)
    assert options.home_folder(None) == str(tmp_path / "raydd-runs")
    monkeypatch.setenv("RAYDD_HOME", str(tmp_path / "other"))
    assert options.home_folder(None) == str(tmp_path / "other")
    assert options.home_folder("here") == str(tmp_path / "here")
    assert config("dm").home == str(tmp_path / "other")


def test_a_home_in_the_file_wins_over_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYDD_HOME", str(tmp_path / "environment"))
    file = tmp_path / "study.yaml"
    file.write_text(f"method: dm\nhome: {tmp_path}/file\n")
    assert config(str(file)).home == f"{tmp_path}/file"
    assert config(str(file), flags={"home": f"{tmp_path}/flag"}).home == f"{tmp_path}/flag"
