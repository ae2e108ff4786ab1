import math

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from raydd import files
from raydd.errors import StudyError
from raydd.registry import Context, Method
from raydd.tuning.searcher import Point, StudySearcher, check_journal, open_optuna, startup_trials
from raydd.tuning.space import StudySpace
from raydd.tuning.studies import Study


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


POINTS = [Point({"x": 0.25, "y": 0.75}, "default"), Point({"x": 0.5, "y": 3.0}, "published")]


def searcher(folder, *, trials=8, points=POINTS, seed=0, sampler="tpe", **fixed):
    context = Context("digits", 1, 8, 10, 10, 20, fixed=fixed)
    space = StudySpace(Toy(), context, {})
    return StudySearcher(
        Study(folder), space, trials=trials, points=points, sampler=sampler, seed=seed, iterations=20
    )


def result(number, value, *, iteration=20, evaluated=1, outcome=""):
    return {
        "number": number,
        "val_accuracy": value,
        "iteration": iteration,
        "evaluated": evaluated,
        "outcome": outcome,
    }


def drawn(folder, number):
    return files.read_json(folder / "trials" / str(number) / "hyperparameters.json")


def states(folder):
    return [trial.state for trial in open_optuna(folder / "optuna.journal", folder.name).trials]


def run(search, values, outcome="complete"):
    for value in values:
        config = search.suggest(f"id{value}")
        search.on_trial_complete(f"id{value}", result(config["number"], value, outcome=outcome))


def test_trial_0_is_the_default_and_points_come_in_order(tmp_path):
    search = searcher(tmp_path)
    assert search.suggest("a") == {"study": str(tmp_path), "number": 0, "session": 0}
    search.suggest("b")
    search.suggest("c")
    assert drawn(tmp_path, 0) == {
        "number": 0,
        "source": "default",
        "searched": {"x": 0.25, "y": 0.75},
        "values": {"x": 0.25, "y": 0.75},
        "iterations": 20,
        "seed": 0,
    }
    assert drawn(tmp_path, 1)["source"] == "published"
    assert drawn(tmp_path, 2)["source"] == "startup"


def test_a_value_outside_the_range_is_run_but_not_told_to_the_sampler_as_a_draw(tmp_path):
    search = searcher(tmp_path)
    search.suggest("a")
    search.suggest("b")
    assert drawn(tmp_path, 1)["values"] == {"x": 0.5, "y": 3.0}
    assert search.optuna.trials[1].params == {"x": 0.5}


def test_fixed_values_reach_the_trial_and_are_not_called_searched(tmp_path):
    search = searcher(tmp_path, points=[Point({"y": 0.1}, "default")], x=0.125)
    search.suggest("a")
    search.suggest("b")
    assert drawn(tmp_path, 0)["values"] == {"y": 0.1, "x": 0.125}
    assert drawn(tmp_path, 1)["values"]["x"] == 0.125
    assert set(drawn(tmp_path, 1)["searched"]) == {"y"}


def test_every_end_is_told_as_what_it_is(tmp_path):
    search = searcher(tmp_path)
    for name in "abcdef":
        search.suggest(name)
    search.on_trial_result("b", result(1, 0.4, iteration=7))
    search.on_trial_complete("a", result(0, 0.9, outcome="complete"))
    search.on_trial_complete("b", result(1, 0.5, iteration=13))
    search.on_trial_complete("c", result(2, math.nan, outcome="diverged"))
    search.on_trial_complete("d", error=True)
    search.on_trial_complete("e", result(4, math.nan, outcome="complete"))
    assert states(tmp_path) == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.FAIL,
        TrialState.FAIL,
        TrialState.RUNNING,
    ]
    pruned = search.optuna.trials[1]
    assert pruned.intermediate_values == {7: 0.4, 13: 0.5}
    assert search.optuna.trials[0].value == 0.9


def test_reports_without_an_evaluation_are_not_intermediate_values(tmp_path):
    search = searcher(tmp_path)
    search.suggest("a")
    search.on_trial_result("a", result(0, 0.3, iteration=0))
    search.on_trial_result("a", result(0, 0.3, iteration=5, evaluated=0))
    search.on_trial_result("a", result(0, 0.3, iteration=0))
    assert search.optuna.trials[0].intermediate_values == {0: 0.3}


def test_after_the_last_trial_it_says_finished(tmp_path):
    search = searcher(tmp_path, trials=2)
    assert search.left() == 2
    search.suggest("a")
    search.suggest("b")
    assert search.left() == 0
    assert search.suggest("c") is None  # while trials run, somebody may ask for more
    for number, name in enumerate("ab"):
        search.on_trial_complete(name, result(number, 0.5, outcome="complete"))
    assert search.suggest("c") == Searcher.FINISHED


def test_a_new_searcher_continues_unfinished_trials_first_and_asks_for_no_more_than_the_total(tmp_path):
    first = searcher(tmp_path, trials=4)
    for name in "abc":
        first.suggest(name)
    first.on_trial_complete("b", result(1, 0.5, outcome="complete"))
    before = drawn(tmp_path, 2)

    second = searcher(tmp_path, trials=4)
    assert second.left() == 3
    numbers = []
    while isinstance(config := second.suggest(str(len(numbers))), dict):
        numbers.append(config["number"])
    assert numbers == [0, 2, 3]
    assert drawn(tmp_path, 2) == before
    second.on_trial_complete("0", result(0, 0.7, outcome="complete"))
    assert states(tmp_path)[0] == TrialState.COMPLETE


def test_a_trial_that_was_asked_but_not_written_down_is_drawn_again(tmp_path):
    first = searcher(tmp_path, points=[])
    first.suggest("a")
    written = tmp_path / "trials" / "0" / "hyperparameters.json"
    params = first.optuna.trials[0].params
    written.unlink()
    searcher(tmp_path, points=[]).suggest("a")
    assert drawn(tmp_path, 0)["values"] == params


def test_draws_depend_on_seed_and_history_only(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        folder = tmp_path / name
        folder.mkdir()
        run(searcher(folder, seed=seed), [0.1, 0.5, 0.3, 0.6, 0.2])
        run(searcher(folder, seed=seed), [0.4, 0.7, 0.1])
    whole = tmp_path / "whole"
    whole.mkdir()
    run(searcher(whole), [0.1, 0.5, 0.3, 0.6, 0.2, 0.4, 0.7, 0.1])

    def values(name):
        return [drawn(tmp_path / name, number)["values"] for number in range(8)]

    assert values("a") == values("b") == values("whole")
    assert values("a")[2:] != values("c")[2:]


def test_trials_are_marked_as_model_based_once_the_start_up_is_over(tmp_path):
    run(searcher(tmp_path, trials=12), [0.1, 0.5, 0.3, 0.6, 0.2])
    assert [drawn(tmp_path, number)["source"] for number in range(5)] == [
        "default",
        "published",
        "startup",
        "model",
        "model",
    ]


def test_tpe_finds_the_optimum_of_a_simple_function_better_than_chance(tmp_path):
    def best(sampler):
        folder = tmp_path / sampler
        folder.mkdir()
        search = searcher(folder, trials=40, points=[], sampler=sampler)
        values = []
        for index in range(40):
            config = search.suggest(str(index))
            x = drawn(folder, config["number"])["values"]["x"]
            values.append(1 - (x - 0.3) ** 2)
            search.on_trial_complete(str(index), result(config["number"], values[-1], outcome="complete"))
        return sum(sorted(values)[-20:]) / 20

    assert best("tpe") > best("random")


@pytest.mark.parametrize(("trials", "expected"), [(1, 2), (8, 2), (16, 4), (40, 10), (1000, 10)])
def test_startup_trials_are_a_quarter_within_2_and_10(trials, expected):
    assert startup_trials(trials) == expected


def test_the_journal_holds_no_pickle_and_reopens(tmp_path):
    search = searcher(tmp_path)
    search.suggest("a")
    for line in (tmp_path / "optuna.journal").read_text().splitlines():
        assert line.startswith("{")
    assert isinstance(open_optuna(tmp_path / "optuna.journal", tmp_path.name), optuna.Study)


def test_only_trials_with_a_value_end_the_start_up(tmp_path):
    search = searcher(tmp_path, trials=12, points=[])
    for index in range(5):
        config = search.suggest(str(index))
        search.on_trial_complete(str(index), result(config["number"], math.nan, outcome="diverged"))
    assert {drawn(tmp_path, number)["source"] for number in range(5)} == {"startup"}


def test_a_trial_that_was_told_and_not_written_down_gets_its_end_back(tmp_path):
    search = searcher(tmp_path)
    for name in "abc":
        search.suggest(name)
    search.on_trial_complete("a", result(0, 0.9, outcome="complete"))
    search.on_trial_complete("b", error=True)
    end = tmp_path / "trials" / "0" / "end.json"
    assert files.read_json(end)["outcome"] == "complete"
    end.unlink()
    search.on_trial_complete("c", {**result(2, 0.1, outcome="diverged"), "why": "a pixel is NaN"})
    diverged = tmp_path / "trials" / "2" / "end.json"
    diverged.unlink()
    searcher(tmp_path)
    assert files.read_json(end)["outcome"] == "complete"
    assert files.read_json(diverged) == {"outcome": "diverged", "why": "a pixel is NaN"}
    assert files.read_json(tmp_path / "trials" / "1" / "end.json")["outcome"] == "failed"


def test_a_point_that_leaves_a_name_open_does_not_tell_the_sampler_a_draw(tmp_path):
    search = searcher(tmp_path, points=[Point({"x": 0.25}, "default")])
    search.suggest("a")
    assert search.optuna.trials[0].params == {"x": 0.25}
    assert drawn(tmp_path, 0)["values"]["y"] == 0.0


def test_the_length_of_a_trial_may_follow_its_values(tmp_path):
    search = searcher(tmp_path, y=0.5)
    search.iterations = lambda values: round(100 * values["x"]) + round(2 * values["y"])
    search.suggest("a")
    assert drawn(tmp_path, 0)["iterations"] == 25 + 1  # what is fixed is seen too


def test_a_study_that_is_asked_for_more_keeps_the_points_that_it_was_begun_with(tmp_path):
    first = searcher(tmp_path, trials=4)
    first.suggest("a")
    # a quarter of more trials may be more published settings, of which the study never heard
    further = [POINTS[0], Point({"x": 0.9, "y": 0.9}, "published"), POINTS[1]]
    second = searcher(tmp_path, trials=12, points=further)
    for name in "abc":
        second.suggest(name)
    assert [drawn(tmp_path, number)["source"] for number in range(3)] == ["default", "published", "startup"]
    assert drawn(tmp_path, 1)["values"] == {"x": 0.5, "y": 3.0}


def test_points_that_are_added_run_next_and_once_whoever_drives(tmp_path):
    first = searcher(tmp_path, trials=3, sampler="random")
    run(first, [0.1, 0.2])
    study = Study(tmp_path)
    study.extend({"search.trials": 4}, {"x": 0.75, "y": 0.125})
    run(first, [0.3])
    study.extend({"search.trials": 5}, {"x": 0.875, "y": 7.0})
    second = searcher(tmp_path, trials=5, sampler="random")
    run(second, [0.4, 0.5])
    assert second.suggest("z") == Searcher.FINISHED
    assert [drawn(tmp_path, number)["source"] for number in range(5)] == [
        "default",
        "published",
        "added",
        "added",
        "startup",
    ]
    assert drawn(tmp_path, 2)["values"] == {"x": 0.75, "y": 0.125}
    assert drawn(tmp_path, 3)["values"] == {"x": 0.875, "y": 7.0}  # held, though outside the range
    assert second.optuna.trials[3].params == {"x": 0.875}


def test_a_journal_whose_last_line_was_cut_off_goes_on_without_it(tmp_path):
    run(searcher(tmp_path), [0.1, 0.5])
    journal = tmp_path / "optuna.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":8,"worker_id":')
    (tmp_path / "optuna.journal.lock").symlink_to(tmp_path / "gone")  # of a writer that was killed
    search = searcher(tmp_path)
    run(search, [0.3])
    journal.open("ab").write(b'{"op_')  # while it goes on
    run(search, [0.4])
    assert states(tmp_path) == [TrialState.COMPLETE] * 4
    assert journal.read_bytes().startswith(whole)
    assert [trial.value for trial in open_optuna(journal, tmp_path.name).trials] == [0.1, 0.5, 0.3, 0.4]


def test_a_journal_that_was_lost_is_not_begun_anew(tmp_path):
    run(searcher(tmp_path), [0.1, 0.5])
    check_journal(Study(tmp_path))
    (tmp_path / "optuna.journal").rename(tmp_path / "elsewhere")
    with pytest.raises(StudyError, match=r"trials that its .*optuna\.journal does not know \(0, 1\); bring"):
        check_journal(Study(tmp_path))
