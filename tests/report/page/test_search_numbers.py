"""Rungs, costs and curves of a study whose files were written by the classes that write them in a search."""

import itertools
from collections import Counter

import pytest
from scipy.stats import spearmanr

from raydd import files
from raydd.report.page import best_of, cost, facts, rungs
from raydd.report.page.figures_search import running_best


@pytest.fixture(scope="module")
def read(first):
    return facts.read(first)


def test_rungs_count_who_reached_them_who_was_stopped_and_who_went_on(first, read):
    found = rungs.survival(read)
    assert [one.rung for one in found] == [37, 111, 333, 1000]
    decisions = files.read_jsonl(first.folder / "decisions.jsonl")
    stopped = Counter(row["rung"] for row in decisions if row["stopped"])
    assert [one.stopped for one in found] == [stopped[one.rung] for one in found]
    assert sum(one.stopped for one in found) == sum(one.outcome == "pruned" for one in first.trials()) > 0
    assert found[0].reached == 40
    for here, following in itertools.pairwise(found):
        assert here.survived == following.reached + sum(here.ended.values())
    assert found[-1].reached == len(read.complete)


def test_a_trial_that_fails_behind_a_rung_is_not_one_that_the_scheduler_stopped(
    write_study, digits, tmp_path
):
    study = write_study(tmp_path, digits, trials=5, confirmed=False, ends={2: "failed", 3: "interrupted"})
    found = rungs.survival(facts.read(study))
    assert [one.reached for one in found] == [3, 3, 3, 3]  # the two never came to one
    assert all(not one.stopped and not one.ended for one in found)


def test_rank_correlations_are_scipys_over_complete_trials_with_an_interval_around_them(read):
    for one in rungs.correlations(read):
        pairs = [(trial.at(one.rung), trial.at(1000)) for trial in read.complete]
        assert one.n == len(read.complete)
        assert one.rho == pytest.approx(spearmanr(*zip(*pairs)).statistic)
        assert -1 <= one.low < one.rho < one.high <= 1


def test_a_rank_correlation_of_a_few_trials_is_not_told():
    assert rungs.correlation(37, [(0.1, 0.2), (0.2, 0.3), (0.3, 0.1)]).rho is None
    assert rungs.correlation(37, [(0.5, 0.2), (0.5, 0.3), (0.5, 0.1), (0.5, 0.4)]).rho is None  # all equal
    perfect = rungs.correlation(37, [(index, index) for index in range(6)])
    assert perfect.rho == pytest.approx(1.0)
    assert perfect.low < 1.0


# An evaluation takes 2 s, the start with the first one 4 s, an iteration 0.5 s; see conftest.
WHOLE = 4.0 + 60 * 0.5 + 4 * 2.0


def test_what_stopping_saved_is_what_stopped_trials_are_short_of_a_whole_one(read):
    spent = cost.of(read)
    pruned = [trial for trial in read.trials if trial.record.outcome == "pruned"]
    assert all(trial.seconds == pytest.approx(WHOLE) for trial in read.complete)
    assert cost.pace(read) == pytest.approx(WHOLE / 60)
    assert spent.saved == pytest.approx(sum(WHOLE - trial.seconds for trial in pruned) / 3600)
    assert spent.search + spent.saved == pytest.approx(40 * WHOLE / 3600)
    assert spent.saved_share == pytest.approx(spent.saved / (40 * WHOLE / 3600))


def test_hours_are_those_of_search_and_confirmation_times_what_a_trial_takes(write_study, digits, tmp_path):
    changes = {"resources__cpus_per_trial": 3, "resources__gpus_per_trial": 0.5}
    read = facts.read(write_study(tmp_path, digits, trials=3, **changes))
    spent = cost.of(read)
    runs = 5 * sum(arm["name"] != "full" for arm in read.report["arms"]) + 1
    assert spent.search == pytest.approx(3 * WHOLE / 3600)
    assert spent.confirmation == pytest.approx(runs * 30.0 / 3600)
    assert spent.cpu_hours == pytest.approx(3 * (spent.search + spent.confirmation))
    assert spent.gpu_hours == pytest.approx(0.5 * (spent.search + spent.confirmation))
    assert spent.saved == 0.0
    judged = 3 * (4 * 2.0 + 2.0) + runs * 10.0  # the first evaluation is taken to be as long as the others
    assert spent.evaluation == pytest.approx(judged / (3 * WHOLE + runs * 30.0))


def test_without_a_report_between_evaluations_there_is_no_pace_and_no_share():
    rows = [{"attempt": 1, "iteration": at, "seconds": 3.0 * at, "evaluated": 1} for at in range(3)]
    assert cost.evaluating(rows) == 0.0
    assert cost.evaluating([]) == 0.0


def test_the_running_best_is_of_complete_trials_alone(read):
    numbers, best = running_best(read.trials)
    assert numbers == [trial.number for trial in read.trials if trial.rank is not None]
    assert best[-1] == read.complete[0].record.val_accuracy
    assert best == sorted(best)


def test_best_of_n_counts_stopped_trials_with_what_they_had_and_others_with_the_lowest(
    write_study, digits, tmp_path
):
    study = write_study(tmp_path, digits, trials=4, confirmed=False, ends={2: "failed", 3: "interrupted"})
    files.write_text(study.trial_folder(2) / "attempts" / "1" / "history.jsonl", "")
    read = facts.read(study)
    accuracies = {trial.number: trial.record.val_accuracy for trial in read.trials}
    assert accuracies[2] is None
    expected = [accuracies[0], accuracies[1], min(accuracies[0], accuracies[1])]
    assert [accuracy for accuracy, _ in best_of.trial_values(read)] == expected  # an interrupted one goes on
