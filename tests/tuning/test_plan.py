import io
import socket
import sys
import time

import pytest
import yaml
from optuna.distributions import FloatDistribution, IntDistribution
from PIL import Image
from rich.console import Console

from raydd import compiling, devices, files, registry, workload
from raydd import config as configuration
from raydd.data import index, load_data
from raydd.errors import ConfigError, DataError, SpaceError, StudyError
from raydd.jobs import context_fixing
from raydd.registry import Context
from raydd.tuning.plan import check_compiling, plan_for, prepare, starting_points, trials_at_once
from raydd.tuning.progress import Progress
from raydd.tuning.search import reopen
from raydd.tuning.space import StudySpace
from raydd.tuning.studies import Study


def config(tmp_path, **changes):
    values = {
        "method": "iid",
        "iterations": 20,
        "home": str(tmp_path / "home"),
        "evaluation": {"net": "convnet-w8"},
        "compile": "off",
    }
    for path, value in changes.items():
        configuration.set_path(values, path.replace("__", "."), value)
    return configuration.build(values)


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"method": "iidd"}, ConfigError, "unknown method 'iidd': did you mean 'iid'?"),
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
        (
            {"search__fix": {"base": "idm", "factor": 5}},
            SpaceError,
            "factor: 5 leaves cells without pixels in images of 8 px; allowed: 1, 2, 3, 4, 8",
        ),
        (
            {"method": "idc", "search__fix": {"factor": 5}},
            SpaceError,
            "factor: 5 leaves cells without pixels",
        ),
        (
            {"method": "udd", "search__fix": {"regions": 30}},
            SpaceError,
            "regions: 30 are more than the 9 windows",
        ),
        (
            {"method": "udd", "search__range": {"regions": "1..20"}},
            SpaceError,
            "regions: 20 are more than the 9 windows that grid_size 3 and region_scale 0.5 give in sub-images of 4 px",
        ),
        (
            {"method": "udd", "search__fix": {"regions": 2}, "search__range": {"region_scale": "0.9..1.0"}},
            SpaceError,
            "regions: 2 are more than the 1 window that grid_size 3 and region_scale 0.9 give",
        ),
        (
            {"method": "idm", "data__image_size": 4, "search__range": {"factor": "2,3"}},
            SpaceError,
            "range of factor: '2,3' must be some of 1, 2",
        ),
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


@pytest.mark.parametrize(
    ("method", "fix"),
    [("idc", {"factor": 1}), ("iid", {"lambda_cc": 0.0}), ("iid", {"base": "idm", "lambda_cc": 0.0})],
)
def test_a_published_setting_is_not_run_twice_for_what_has_no_effect(method, fix):
    context = context_fixing(
        registry.get(method),
        Context("cifar10", channels=3, size=32, classes=10, ipc=10, iterations=100),
        fix,
    )
    space = StudySpace(registry.get(method), context, {})
    points, _ = starting_points(registry.get(method), context, space, 20)
    assert [point.source for point in points] == ["default"]


def test_a_fixed_grid_or_scale_bounds_the_regions_that_are_searched(tmp_path):
    for fix in ({"grid_size": 1}, {"region_scale": 1.0}):
        plan = prepare(config(tmp_path, method="udd", search__fix=fix))
        assert plan.space.distributions["regions"] == IntDistribution(1, 1)
    wide = prepare(config(tmp_path, method="udd", search__range={"region_scale": "0.9..1.0"}))
    assert wide.space.distributions["region_scale"] == FloatDistribution(0.9, 1.0)


def test_a_list_that_is_fixed_is_planned_saved_and_read_again(tmp_path):
    fix = {"region_scale": [0.5, 0.34]}
    plan = prepare(config(tmp_path, name="first", method="udd", search__fix=fix))
    assert plan.context.fixed == {"region_scale": (0.5, 0.34)}
    study = Study.create(plan.config, {"study_id": "x"})
    assert study.config.search.fix == fix
    assert plan_for(study.config, plan.method, plan.data).context.fixed == plan.context.fixed


def test_the_plan_tells_the_size_and_error_of_the_validation_set_and_what_vanishes_at_ipc_1(tmp_path):
    lines = "\n".join(prepare(config(tmp_path, ipc=1)).lines())
    assert (
        "validation: 288 images of 10 classes; one accuracy has a standard error of about 2.9 points" in lines
    )
    assert "At IPC 1 without sub-images both terms of IID have no gradient: IID equals DM" in lines
    assert "searched: lr_img\n" in lines


def test_the_plan_names_the_base_that_the_fixed_values_choose(tmp_path):
    assert prepare(config(tmp_path)).lines()[0].endswith("on DM or IDM; its base here: dm")
    fix = {"base": "idm"}
    on_idm = prepare(config(tmp_path, search__fix=fix))
    assert on_idm.lines()[0].endswith("on DM or IDM; its base here: idm")
    assert on_idm.lines()[1] == "data: digits (8x8, 1 channels, 10 classes), 10 images per class"
    assert "base" not in prepare(config(tmp_path, method="dm")).lines()[0]


# A study of a few hundred GFLOP, and one that computes for days.
BRIEF = {"search__fix": {"net": "convnet-w8", "pool_net": "convnet-w8", "batch_real": 16}, "compile": "auto"}
LONG = {"iterations": 20_000, "compile": "auto"}
COMPILER = "clang++" if sys.platform == "darwin" else "g++"


@pytest.fixture
def no_compiler(monkeypatch):
    """A machine on whose PATH there is nothing."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    compiling.obstacle.cache_clear()
    yield
    compiling.obstacle.cache_clear()


def test_a_brief_study_is_eager_says_why_and_saves_it(tmp_path):
    plan = prepare(config(tmp_path, name="first", **BRIEF))
    work = workload.study(plan.config, plan.method, plan.context, plan.data)
    assert 100 < work < 30_000
    assert f"computed in fp32, eager: {compiling.amount(work)} of network arithmetic, " in "\n".join(
        plan.lines()
    )
    assert (plan.config.compile, plan.context.compiled, plan.context.precision) == ("off", False, "fp32")
    study = Study.create(plan.config, {"study_id": "x"})
    assert yaml.safe_load((study.folder / "study.yaml").read_text())["compile"] == "off"
    assert study.config.compile == "off"


@pytest.mark.slow
def test_a_long_study_is_compiled_where_compiling_works(tmp_path):
    if compiling.obstacle() is not None:
        pytest.skip(compiling.obstacle())
    plan = prepare(config(tmp_path, **LONG))
    assert (plan.config.compile, plan.context.compiled) == ("on", True)
    assert any(
        line.startswith("computed in fp32, compiled: about ") and line.endswith("enough for compiling to pay")
        for line in plan.lines()
    )


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_a_long_study_is_eager_and_on_is_refused(tmp_path):
    plan = prepare(config(tmp_path, **LONG))
    assert (plan.config.compile, plan.context.compiled) == ("off", False)
    assert (
        "computed in fp32, eager: compiling would pay, but there is no C++ compiler here: "
        f"{COMPILER} is not on PATH" in plan.lines()
    )
    with pytest.raises(
        ConfigError, match=r"^compile: 'on' cannot be done, because there is no C\+\+ compiler"
    ):
        prepare(config(tmp_path, compile="on"))
    assert not (tmp_path / "home").exists()


def test_a_study_that_is_gone_on_with_is_not_decided_anew(tmp_path):
    prepared = prepare(config(tmp_path, name="first", **BRIEF))
    saved = prepared.config.replace(compile="on", precision="mixed")  # though so brief a study would be eager
    again = plan_for(saved, prepared.method, prepared.data)
    assert (again.config.compile, again.context.compiled, again.context.precision) == ("on", True, "mixed")
    assert "computed in mixed, compiled" in again.lines()
    # a study of a version without this setting was computed eager, however long it is
    old = plan_for(config(tmp_path, **LONG), prepared.method, prepared.data)
    assert not old.context.compiled


@pytest.mark.usefixtures("no_compiler")
def test_a_compiled_study_is_not_gone_on_with_where_nothing_can_be_compiled(tmp_path):
    check_compiling(config(tmp_path, compile="off"))
    with pytest.raises(StudyError) as caught:
        check_compiling(config(tmp_path, name="first", compile="on"))
    assert str(caught.value) == (
        "study 'first' was begun with compiled networks and has to go on with them, but "
        f"there is no C++ compiler here: {COMPILER} is not on PATH"
    )


def test_bfloat16_without_compiling_is_warned_of(tmp_path):
    lines = prepare(config(tmp_path, precision="bf16")).lines()
    assert "computed in bf16, eager: as asked for" in lines
    assert any(line.startswith("bf16 is slower than fp32") for line in lines)
    assert not any("slower than" in line for line in prepare(config(tmp_path)).lines())


def test_trials_at_once_are_those_that_fit_are_wanted_and_are_there(tmp_path):
    cpus = devices.available_cpus()
    assert trials_at_once(config(tmp_path, search__trials=1000)) == min(cpus, 1000)
    assert trials_at_once(config(tmp_path, search__trials=1)) == 1
    assert trials_at_once(config(tmp_path, search__concurrency=1)) == 1
    assert trials_at_once(config(tmp_path, resources__cpus_per_trial=cpus)) == 1
    assert trials_at_once(config(tmp_path, resources__address="10.0.0.1:6379")) == 1
    assert trials_at_once(config(tmp_path, resources__address="10.0.0.1:6379", search__concurrency=7)) == 7


def test_the_beginning_and_the_resuming_of_a_study_look_at_every_file(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYDD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "SAMPLE", 8)  # the first and the last of every class folder
    monkeypatch.setattr(index, "SETTLED", 50_000_000)
    root = tmp_path / "images"
    for number, path in enumerate(root / f"{part}/{c}" for part in ("train", "test") for c in "ab"):
        path.mkdir(parents=True)
        for image in range(6):
            Image.new("RGB", (8, 8), (number, image, 0)).save(path / f"{image}.png")
    time.sleep(0.1)
    settings = config(tmp_path, name="first", method="dm", ipc=1, data__name=str(root))
    begun = prepare(settings)
    study = Study.create(begun.config, {"study_id": "x"})
    study.unlock()
    files.write_json(study.folder / "fingerprint.json", begun.data.fingerprint)

    Image.new("RGB", (8, 8), (99, 99, 99)).save(root / "train" / "a" / "3.png")  # in place
    assert load_data(settings.data).fingerprint == begun.data.fingerprint  # workers are quick
    with pytest.raises(StudyError, match="study 'first' was made from other data"):
        reopen(study, Progress())
    assert prepare(config(tmp_path, method="dm", ipc=1, data__name=str(root))).data.fingerprint != (
        begun.data.fingerprint
    )


@pytest.mark.integration
def test_a_tracking_server_that_is_away_keeps_no_study_from_going_on(tmp_path):
    with socket.socket() as taken:  # bound and not listening: nobody answers
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        begun = prepare(config(tmp_path, name="first", method="dm", ipc=1, tracking__uri=uri))
        study = Study.create(begun.config, {"study_id": "x"})
        study.unlock()
        said = io.StringIO()
        plan = reopen(study, Progress(Console(file=said, width=200)))
        study.unlock()
    assert plan.config == begun.config
    assert (
        f"warning: tracking: {uri} does not answer; what it lacks is written when it is back"
        in said.getvalue()
    )
