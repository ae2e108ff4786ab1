"""Grids: what is run, in which order, with which seeds, and what is refused."""

import itertools

import pytest

from raydd import config as configuration
from raydd import files
from raydd.cli import options
from raydd.errors import ConfigError, StudyError
from raydd.registry import Context, Method
from raydd.tuning import extending, grid
from raydd.tuning.plan import prepare
from raydd.tuning.searcher import Point, StudySearcher
from raydd.tuning.space import StudySpace
from raydd.tuning.studies import Study, TrialRecord, settings

RHO_K = {"rho": [0.005, 0.015], "k": [1, 6, 12]}


def config(tmp_path, **search):
    return configuration.build(
        {
            "method": "dwa",
            "iterations": 20,
            "home": str(tmp_path / "home"),
            "compile": "off",
            "evaluation": {"net": "convnet-w8-bn"},
            "search": {"fix": {"teacher": "convnet-w8-bn", "teacher_epochs": 1}, **search},
        }
    )


def test_combinations_change_the_last_name_fastest():
    assert [tuple(one.values()) for one in grid.combinations(RHO_K)] == list(
        itertools.product(*RHO_K.values())
    )


def test_a_grid_says_its_own_sampler_scheduler_and_number_of_trials(tmp_path):
    search = config(tmp_path, grid=RHO_K, replicates=2).search
    assert (search.sampler, search.scheduler, search.trials) == ("grid", "none", 12)
    again = configuration.build({"method": "dwa", "search": search.model_dump()}).search
    assert again == search


def test_every_combination_once_a_replicate_and_trial_0_is_one_of_them(tmp_path):
    plan = prepare(config(tmp_path, grid=RHO_K, replicates=2))
    assert plan.config.search.trials == 12
    run = [(point.values["rho"], point.values["k"], point.replicate) for point in plan.points]
    assert sorted(run) == sorted(itertools.product(RHO_K["rho"], RHO_K["k"], (0, 1)))
    first = plan.points[0]
    assert (first.source, first.values["rho"], first.values["k"], first.replicate) == (
        "default",
        0.015,
        12,
        0,
    )
    assert {point.source for point in plan.points[1:]} == {"grid"}
    assert [point.replicate for point in plan.points] == [0] * 6 + [1] * 6
    others = [{name: value for name, value in one.values.items() if name not in RHO_K} for one in plan.points]
    assert all(one == others[0] for one in others)
    assert any("rho x k: 2 x 3 settings, 2 replicates, trial 0 among them" in line for line in plan.lines())


def test_trial_0_comes_first_where_it_is_no_combination(tmp_path):
    plan = prepare(config(tmp_path, grid={"rho": [0.001, 0.002]}))
    assert [point.values["rho"] for point in plan.points] == [0.015, 0.001, 0.002]
    assert plan.config.search.trials == 3


def test_values_outside_the_space_and_names_that_are_not_searched_can_be_in_a_grid(tmp_path):
    plan = prepare(config(tmp_path, grid={"rho": [0.0, 0.015], "coupled": [True, False]}))
    values = [(point.values["rho"], point.values["coupled"]) for point in plan.points]
    assert values[0] == (0.015, False)
    assert sorted(values) == [(0.0, False), (0.0, True), (0.015, False), (0.015, True)]


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        ({"grid": {"rhoo": [1]}}, "search.grid: unknown hyperparameter of dwa 'rhoo': did you mean 'rho'?"),
        ({"grid": {"rho": [3.0]}}, "search.grid: rho=3: rho: should be less than or equal to 1, got 3.0"),
        ({"grid": {"k": [0]}}, "k: should be greater than or equal to 1, got 0"),
        ({"grid": {"teacher": ["resnet18-bn"]}}, "teacher is fixed to 'convnet-w8-bn' too; leave one"),
        ({"grid": {"rho": [0.01]}, "range": {"rho": "0.01..0.02"}}, "rho is narrowed to '0.01..0.02' too"),
        ({"grid": {"labels": ["hard", "online"]}}, "labels=hard gives hard labels where the study has soft"),
        (
            {"grid": RHO_K, "trials": 5},
            "5 are asked for, and the grid has 6 (rho x k: 2 x 3 settings, trial 0",
        ),
        ({"grid": {"rho": [0.01, 0.01]}}, "grid.rho must have at least one value, and each once"),
        ({"grid": {"rho": []}}, "grid.rho must have at least one value"),
        ({"grid": RHO_K, "scheduler": "asha"}, "a grid takes scheduler none"),
        ({"grid": RHO_K, "sampler": "tpe"}, "grid is for sampler grid, got sampler tpe"),
        ({"grid": RHO_K, "points": [{"rho": 0.01}]}, "points must be empty"),
        ({"sampler": "grid"}, "sampler grid needs values to combine"),
        ({"replicates": 2}, "replicates is for sampler grid, got sampler tpe"),
        ({"grid": RHO_K, "replicates": 0}, "search.replicates: should be greater than or equal to 1, got 0"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, search, sentence):
    with pytest.raises(ConfigError) as caught:
        prepare(config(tmp_path, **search))
    assert sentence in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("net", "net belongs to the real side, which all trials share"),
        ("pool_size", "pool_size=3 decides which networks are trained before the search"),
    ],
)
def test_what_trials_share_cannot_be_in_a_grid(tmp_path, name, sentence):
    values = {"net": ["convnet-w8"], "pool_size": [2, 3]}[name]
    asked = {"method": "iid", "home": str(tmp_path), "compile": "off", "search": {"grid": {name: values}}}
    with pytest.raises(ConfigError, match=sentence):
        prepare(configuration.build(asked))


def test_the_weight_that_turns_a_term_off_can_be_in_a_grid(tmp_path):
    asked = {"method": "iid", "home": str(tmp_path), "compile": "off", "iterations": 20}
    ablation = {"lambda_cc": [0.0, 0.05], "lambda_cm": [0.0, 0.01]}
    plan = prepare(configuration.build({**asked, "search": {"grid": ablation, "fix": {"cc_form": "sum"}}}))
    assert [(one.values["lambda_cc"], one.values["lambda_cm"]) for one in plan.points] == [
        (0.05, 0.01),
        (0.0, 0.0),
        (0.0, 0.01),
        (0.05, 0.0),
    ]


def test_flags_make_the_same_configuration():
    study = options.study_config(
        "dwa", flags={"replicates": 3}, grid=["rho=0.005,0.015", "coupled=true,false"]
    )
    assert study.search.grid == {"rho": [0.005, 0.015], "coupled": [True, False]}
    assert (study.search.sampler, study.search.replicates, study.search.trials) == ("grid", 3, 12)
    with pytest.raises(ConfigError, match="--grid: 'rho' is not NAME=VALUE"):
        options.study_config("dwa", flags={}, grid=["rho"])


# -- what the searcher does with it --------------------------------------------------------------------------


class Toy(Method):
    name = title = reference = "toy"
    hyperparameters = None

    def defaults(self, context):
        raise AssertionError("not needed")

    def points(self, context):
        return []

    def space(self, trial, context):
        return {"x": trial.suggest_float("x", 0.0, 1.0), "y": trial.suggest_float("y", 0.0, 1.0)}

    def distiller(self, *arguments):
        raise AssertionError("not needed")


@pytest.fixture
def toy():
    return Toy()


def searcher(folder, toy, points):
    space = StudySpace(toy, Context("digits", 1, 8, 10, 10, 20), {})
    return StudySearcher(
        Study(folder), space, trials=len(points), points=points, sampler="grid", seed=7, iterations=20
    )


POINTS = [
    Point({"x": 0.25, "y": 0.75}, "default"),
    Point({"x": 0.5, "y": 3.0}, "grid"),
    Point({"x": 0.25, "y": 0.75}, "grid", 1),
    Point({"x": 0.5, "y": 3.0}, "grid", 1),
]


def drawn(folder, number):
    return files.read_json(folder / "trials" / str(number) / "hyperparameters.json")


def finish(search, accuracies):
    for accuracy in accuracies:
        number = search.suggest(f"id{accuracy}")["number"]
        row = {
            "number": number,
            "val_accuracy": accuracy,
            "iteration": 20,
            "evaluated": 1,
            "outcome": "complete",
        }
        search.on_trial_complete(f"id{accuracy}", row)


def test_each_replicate_has_a_seed_of_its_own(tmp_path, toy):
    search = searcher(tmp_path, toy, POINTS)
    finish(search, [0.1, 0.2, 0.3, 0.4])
    assert search.suggest("last") == "FINISHED"
    rows = [drawn(tmp_path, number) for number in range(4)]
    assert [(row["seed"], row["replicate"]) for row in rows] == [(7, 0), (7, 0), (8, 1), (8, 1)]
    assert [row["values"] for row in rows] == [dict(point.values) for point in POINTS]
    assert [row["source"] for row in rows] == ["default", "grid", "grid", "grid"]


def test_a_grid_that_was_cut_off_goes_on_with_what_is_left(tmp_path, toy):
    finish(searcher(tmp_path, toy, POINTS), [0.1])
    second = searcher(tmp_path, toy, POINTS)
    assert second.left() == 3
    finish(second, [0.2, 0.3, 0.4])
    assert [drawn(tmp_path, number)["values"] for number in range(4)] == [dict(one.values) for one in POINTS]


def test_further_replicates_follow_a_trial_that_was_added_in_between(tmp_path, toy):
    finish(searcher(tmp_path, toy, POINTS[:2]), [0.1, 0.2])
    study = Study(tmp_path)
    study.extend({"search.trials": 3}, {"x": 0.1, "y": 0.1})
    more = searcher(tmp_path, toy, POINTS)
    more.total = 5
    finish(more, [0.3, 0.4, 0.5])
    assert sorted(drawn(tmp_path, number)["seed"] for number in range(2, 5)) == [7, 8, 8]
    assert {drawn(tmp_path, number)["source"] for number in range(2, 5)} == {"grid", "added"}


# -- replicates are one setting ------------------------------------------------------------------------------


def record(number, accuracy, values, replicate=0):
    return TrialRecord(
        number, "complete", "grid", values, accuracy, 0.0, None, 1, 1, 1.0, values=values, replicate=replicate
    )


def test_settings_are_ranked_by_the_mean_of_their_replicates():
    records = [
        record(0, 0.9, {"x": 1}),
        record(1, 0.7, {"x": 2}),
        record(2, 0.5, {"x": 1}, 1),
        record(3, 0.8, {"x": 2}, 1),
    ]
    assert [[one.number for one in runs] for runs in settings(records)] == [[1, 3], [0, 2]]


def test_trials_with_equal_values_that_are_no_replicates_stay_apart():
    records = [record(0, 0.5, {"x": 1}), record(1, 0.6, {"x": 1})]
    assert [[one.number for one in runs] for runs in settings(records)] == [[1], [0]]


# -- asking for more -----------------------------------------------------------------------------------------


def test_more_replicates_can_be_asked_for_and_more_trials_cannot(tmp_path):
    plan = prepare(config(tmp_path, grid=RHO_K, replicates=2).replace(name="g"))
    study = Study.create(plan.config, {})
    study.unlock()
    more = extending.changes(study, extending.More(replicates=4))
    assert more == {"search.replicates": 4, "search.trials": 24}
    assert len(extending.planned(study, extending.with_changes(study.config, more)).points) == 24
    with pytest.raises(
        StudyError, match="is a grid, which draws nothing: 12 trials are all it has, got \\+3"
    ):
        extending.changes(study, extending.More(trials="+3"))
    with pytest.raises(StudyError, match="has 2 already, got 1"):
        extending.changes(study, extending.More(replicates=1))


def test_a_setting_of_ones_own_comes_after_all_replicates(tmp_path):
    plan = prepare(config(tmp_path, grid=RHO_K, replicates=2).replace(name="g"))
    study = Study.create(plan.config, {})
    study.unlock()
    assert extending.add_point(study, {"rho": 0.02}).number == 12
    assert study.config.search.trials == 13
    with pytest.raises(StudyError, match="these values wait already"):
        extending.add_point(study, {"rho": 0.005, "k": 6})


def test_a_study_that_is_no_grid_has_no_replicates(tmp_path):
    study = Study.create(config(tmp_path).replace(name="t"), {})
    study.unlock()
    with pytest.raises(StudyError, match="is no grid, its sampler is tpe, got 3"):
        extending.changes(study, extending.More(replicates=3))


@pytest.mark.parametrize(
    ("method", "given", "sentence"),
    [
        ("dwa", {"labels": "hard"}, "labels=hard gives hard labels where the study has soft ones"),
        (
            "dwa",
            {"rho": 0.01, "teacher_epochs": 3},
            "teacher_epochs belongs to the real side, which all trials share (200), got 3",
        ),
        (
            "iid",
            {"batch_real": 8},
            "batch_real belongs to the real side, which all trials share (256), got 8",
        ),
        ("iid", {"base": "idm"}, "base belongs to the real side, which all trials share (dm), got idm"),
        ("iid", {"pool_size": 3}, "pool_size=3 decides which networks are trained before the search"),
    ],
)
def test_a_point_of_ones_own_shares_what_all_trials_share(tmp_path, method, given, sentence):
    def asked(own):
        values = {
            "method": method,
            "home": str(tmp_path / "home"),
            "compile": "off",
            "search": {"points": [own]},
        }
        return prepare(configuration.build(values))

    with pytest.raises(ConfigError) as caught:
        asked(given)
    assert str(caught.value).startswith(f"search.points[0]: {sentence}")
    shared = {name: getattr(asked({}).method.defaults(asked({}).context), name) for name in given}
    assert asked(shared).points[-1].source == "given"  # the study's own values may be written out
