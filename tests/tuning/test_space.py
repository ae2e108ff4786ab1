import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, ConfigDict, Field

from raydd.errors import SpaceError
from raydd.registry import Context, Method
from raydd.tuning.space import StudySpace, parse_range, searched


class Numbers(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    rate: float = Field(1.0, gt=0, le=10)
    kind: str = "plain"
    depth: int = Field(3, ge=1, le=9)
    margin: float = Field(0.5, ge=0)


class Toy(Method):
    """A space with a choice that opens a branch of its own."""

    name = title = reference = "toy"
    hyperparameters = Numbers

    def defaults(self, context):
        return Numbers(**context.fixed)

    def points(self, context):
        return []

    def space(self, trial, context):
        values = {"rate": trial.suggest_float("rate", 0.01, 10.0, log=True)}
        values["kind"] = trial.suggest_categorical("kind", ["plain", "hinge", "deep"])
        if values["kind"] == "hinge":
            values["margin"] = trial.suggest_float("margin", 0.0, 1.0)
        if values["kind"] == "deep":
            values["depth"] = trial.suggest_int("depth", 1, 5)
        return values

    def distiller(self, *arguments):
        raise AssertionError("not needed")


def context(**fixed):
    return Context(dataset="digits", channels=1, size=8, classes=10, ipc=10, iterations=20, fixed=fixed)


def drawn(space, count=40):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space(study.ask()) for _ in range(count)]


def test_searched_finds_the_names_of_every_branch():
    assert searched(Toy(), context()) == {
        "rate": FloatDistribution(0.01, 10.0, log=True),
        "kind": CategoricalDistribution(("plain", "hinge", "deep")),
        "margin": FloatDistribution(0.0, 1.0),
        "depth": IntDistribution(1, 5),
    }


def test_fixed_names_are_never_suggested_and_close_the_other_branches():
    space = StudySpace(Toy(), context(kind="hinge", rate=0.5), {})
    assert set(space.distributions) == {"margin"}
    assert {(values["kind"], values["rate"]) for values in drawn(space)} == {("hinge", 0.5)}


def test_ranges_narrow_floats_ints_and_choices():
    space = StudySpace(Toy(), context(), {"rate": "0.1..1", "depth": "2..3", "kind": "deep,plain"})
    values = drawn(space)
    assert all(0.1 <= value["rate"] <= 1 for value in values)
    assert {value["kind"] for value in values} == {"deep", "plain"}
    assert {value["depth"] for value in values if "depth" in value} == {2, 3}
    assert "margin" not in space.distributions


@pytest.mark.parametrize(
    ("ranges", "sentence"),
    [
        ({"rat": "0.1..1"}, "unknown searched hyperparameter of toy 'rat': did you mean 'rate'?"),
        ({"rate": "1..0.1"}, "'1..0.1' has no room, LOW must be below HIGH"),
        ({"rate": "0.1..x"}, "'0.1..x' is not LOW..HIGH with two numbers"),
        ({"rate": "0.1..20"}, "rate: should be less than or equal to 10, got 20.0"),
        ({"rate": "0..1"}, "rate: should be greater than 0, got 0.0"),
        ({"rate": "a,b"}, "'a,b' must be LOW..HIGH, such as 0.01..10"),
        ({"kind": "deep,wide"}, "'deep,wide' must be some of plain, hinge, deep"),
        ({"kind": "0..1"}, "'0..1' must be some of plain, hinge, deep"),
        ({"kind": " "}, "no choice is given"),
    ],
)
def test_a_wrong_range_is_one_sentence(ranges, sentence):
    with pytest.raises(SpaceError) as caught:
        StudySpace(Toy(), context(), ranges)
    assert sentence in str(caught.value)


def test_a_range_on_a_fixed_name_is_refused():
    with pytest.raises(SpaceError, match=r"it is fixed to 0\.5; leave one of the two out"):
        StudySpace(Toy(), context(rate=0.5), {"rate": "0.1..1"})


def test_points_are_divided_into_what_the_narrowed_space_holds_and_what_it_excludes():
    space = StudySpace(Toy(), context(), {"rate": "0.1..0.5"})
    assert space.split_point({"rate": 1.0, "kind": "deep", "depth": 3, "margin": 0.1}) == (
        {"kind": "deep", "depth": 3},
        {"rate": 1.0},
    )


def test_a_held_value_is_used_and_not_suggested():
    space = StudySpace(Toy(), context(), {"rate": "0.1..0.5"})
    trial = optuna.create_study().ask()
    assert space(trial, {"rate": 5.0})["rate"] == 5.0
    assert "rate" not in trial.params


def test_names_for_follows_the_branch_of_the_values():
    space = StudySpace(Toy(), context(rate=0.5), {})
    assert space.names_for({"kind": "hinge"}) == ["kind", "margin"]
    assert space.names_for({"kind": "plain"}) == ["kind"]


def test_hyperparameters_are_those_of_all_branches():
    assert StudySpace(Toy(), context(rate=0.5), {}).hyperparameters() == {"kind", "margin", "depth"}


def test_held_are_values_outside_and_names_left_open():
    space = StudySpace(Toy(), context(), {"rate": "0.1..0.5"})
    assert space.held({"rate": 1.0, "kind": "hinge"}) == {"rate": 1.0, "margin": 0.0}


def test_parse_range_reads_both_forms():
    assert parse_range("x", "1e-3 .. 2") == (0.001, 2.0)
    assert parse_range("x", "-1.5..-.5") == (-1.5, -0.5)
    assert parse_range("x", "a, b") == ["a", "b"]
    assert parse_range("x", [1, 2]) == [1, 2]
