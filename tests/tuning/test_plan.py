import pytest

from raydd import config as configuration
from raydd.errors import ConfigError, DataError, SpaceError, StudyError
from raydd.tuning.plan import prepare


def config(tmp_path, **changes):
    values = {
        "method": "iid",
        "iterations": 20,
        "home": str(tmp_path / "home"),
        "evaluation": {"net": "convnet-w8"},
    }
    for path, value in changes.items():
        configuration.set_path(values, path.replace("__", "."), value)
    return configuration.build(values)


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"method": "idd"}, ConfigError, "unknown method 'idd': did you mean 'iid'?"),
        ({"data__name": "digit"}, DataError, "unknown dataset 'digit': did you mean 'digits'?"),
        ({"evaluation__net": "convnet-d4"}, ConfigError, "needs at least 16 px, got 8"),
        ({"search__fix": {"pool_net": "convnet-d4"}}, ConfigError, "needs at least 16 px, got 8"),
        ({"evaluation__net": "convnot"}, ConfigError, "did you mean 'convnet'"),
        ({"evaluation__protocol": "dsb"}, ConfigError, "unknown protocol 'dsb': did you mean 'dsa'?"),
        ({"evaluation__device": "cuda"}, ConfigError, "'cuda' needs a share of a GPU"),
        ({"search__fix": {"lambda_c": 1}}, SpaceError, "did you mean 'lambda_cm'"),
        (
            {"search__fix": {"lambda_cc": -1}},
            SpaceError,
            "lambda_cc: should be greater than or equal to 0, got -1",
        ),
        ({"search__range": {"b": "0.1..0.2"}}, SpaceError, "range of b: iid takes it from the data"),
        ({"ipc": 1000}, DataError, "at most"),
        ({"confirm__max_report_seeds": 3}, ConfigError, "must be at least confirm.report_seeds, 5"),
        ({"resources__cpus_per_trial": 9999}, ConfigError, "9999 are asked for, this machine has"),
    ],
)
def test_what_is_wrong_is_one_sentence_before_anything_is_written(tmp_path, changes, error, sentence):
    with pytest.raises(error) as caught:
        prepare(config(tmp_path, **changes))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "home").exists()


def test_a_name_in_use_and_a_home_that_is_a_file_are_refused(tmp_path):
    taken = tmp_path / "home" / "studies" / "first" / "study.yaml"
    taken.parent.mkdir(parents=True)
    taken.touch()
    with pytest.raises(StudyError, match="study 'first' exists already"):
        prepare(config(tmp_path, name="first"))
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot be written; name a writable folder with --home"):
        prepare(config(tmp_path, home=str(tmp_path / "file" / "home")))


def test_defaults_are_filled_in_and_a_free_name_is_found(tmp_path):
    plan = prepare(config(tmp_path, iterations=None))
    assert plan.config.name == "iid-digits-ipc10"
    assert plan.config.iterations == 20_000
    (tmp_path / "home" / "studies" / "iid-digits-ipc10").mkdir(parents=True)
    assert prepare(config(tmp_path)).config.name == "iid-digits-ipc10-2"


def test_trial_0_is_the_published_setting_and_a_narrowed_range_says_that_it_lies_outside(tmp_path):
    plan = prepare(config(tmp_path, search__range={"lambda_cc": "0.1..1"}))
    assert plan.points[0].source == "default"
    assert plan.points[0].values == {"lr_img": 1.0, "lambda_cm": 0.01, "lambda_cc": 0.05, "cc_form": "sum"}
    assert any("trial 0 lies outside the narrowed range in lambda_cc=0.05" in line for line in plan.lines())


def test_the_plan_tells_the_size_and_error_of_the_validation_set_and_what_vanishes_at_ipc_1(tmp_path):
    lines = "\n".join(prepare(config(tmp_path, ipc=1)).lines())
    assert (
        "validation: 288 images of 10 classes; one accuracy has a standard error of about 2.9 points" in lines
    )
    assert "At IPC 1 on DM both terms of IID have no gradient" in lines
    assert "searched: lr_img\n" in lines
