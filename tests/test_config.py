from typing import get_args

import pytest
import yaml

from raydd import compiling, devices
from raydd import config as configuration
from raydd.config import StudyConfig
from raydd.errors import ConfigError


def test_yaml_round_trip_gives_an_equal_configuration():
    config = configuration.build(
        {
            "method": "iid",
            "name": "first",
            "search": {"fix": {"lr_img": 0.5}, "range": {"lambda_cc": "1e-3..1e-1"}},
        }
    )
    assert configuration.build(yaml.safe_load(configuration.dump_yaml(config))) == config


def test_every_wrong_field_is_reported_with_its_path():
    with pytest.raises(ConfigError) as caught:
        configuration.build(
            {"method": "iid", "name": "A b", "confirm": {"tpo": 1, "top": 0}, "data": {"val_fraction": 2}}
        )
    problems = caught.value.problems
    assert [problem.split(":")[0] for problem in problems] == [
        "confirm.top",
        "confirm.tpo",
        "data.val_fraction",
        "name",
    ]
    assert "did you mean 'top'?" in problems[1]
    assert "got 2" in problems[2]


def test_a_missing_method_is_one_sentence():
    with pytest.raises(ConfigError, match=r"^method: is required$"):
        configuration.build({})


def test_the_configuration_is_frozen():
    config = StudyConfig(method="iid")
    with pytest.raises(Exception, match="frozen"):
        config.ipc = 3


def test_paths_are_absolute_and_catalog_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = configuration.build(
        {"method": "iid", "home": "runs", "data": {"name": "./images", "root": "~/data"}}
    )
    assert config.home == str(tmp_path / "runs")
    assert config.data.name == str(tmp_path / "images")
    assert config.data.root.startswith("/")
    assert "~" not in config.data.root
    assert configuration.build({"method": "iid", "data": {"name": "digits"}}).data.name == "digits"


@pytest.mark.parametrize("share", [1.5, -0.1])
def test_gpu_shares_that_ray_cannot_place_are_refused(share):
    with pytest.raises(ConfigError, match=r"resources\.gpus_per_trial"):
        configuration.build({"method": "iid", "resources": {"gpus_per_trial": share}})


def test_yaml_errors_name_the_file(tmp_path):
    path = tmp_path / "study.yaml"
    with pytest.raises(ConfigError, match=r"cannot read .*study\.yaml: No such file"):
        configuration.read_yaml(path)
    path.write_text("a: [1")
    with pytest.raises(ConfigError, match="is not YAML"):
        configuration.read_yaml(path)
    path.write_text("- 1")
    with pytest.raises(ConfigError, match="must hold 'field: value' lines, got list"):
        configuration.read_yaml(path)


def test_set_path_makes_the_parts_on_the_way():
    values = {"method": "iid"}
    configuration.set_path(values, "confirm.top", 3)
    configuration.set_path(values, "seed", 1)
    assert values == {"method": "iid", "confirm": {"top": 3}, "seed": 1}


@pytest.mark.parametrize(
    ("text", "word"), [("on", "on"), ("off", "off"), ("'on'", "on"), ("true", "on"), ("auto", "auto")]
)
def test_yaml_reads_a_bare_on_as_a_boolean_and_compile_takes_it(text, word):
    config = configuration.build(yaml.safe_load(f"method: iid\ncompile: {text}"))
    assert config.compile == word
    dumped = configuration.dump_yaml(config)
    assert yaml.safe_load(dumped)["compile"] == word
    assert configuration.build(yaml.safe_load(dumped)) == config


def test_precision_and_compile_have_defaults_and_name_what_is_allowed():
    config = StudyConfig(method="iid")
    assert (config.precision, config.compile) == ("fp32", "auto")
    with pytest.raises(ConfigError) as caught:
        configuration.build({"method": "iid", "precision": "fp16", "compile": "yes"})
    assert caught.value.problems == [
        "compile: should be 'auto', 'on' or 'off', got 'yes'",
        "precision: should be 'fp32', 'mixed' or 'bf16', got 'fp16'",
    ]


def test_the_precisions_are_those_that_networks_know():
    assert get_args(StudyConfig.model_fields["precision"].annotation) == devices.PRECISIONS
    assert get_args(StudyConfig.model_fields["compile"].annotation) == compiling.SETTINGS
