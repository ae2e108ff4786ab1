import optuna
import pytest
from optuna.trial import TrialState, create_trial

from raydd.report.page.importance import FEWEST, importances

UNIT = optuna.distributions.FloatDistribution(0.0, 1.0)
KIND = optuna.distributions.CategoricalDistribution(["plain", "deep"])


def trial(number, state=TrialState.COMPLETE):
    """`good` decides; `deep` trials have a further hyperparameter that does nothing."""
    good, idle = (number * 0.618) % 1.0, (number * 0.414) % 1.0
    params = {"good": good, "idle": idle, "kind": ["plain", "deep"][number % 2]}
    kinds = {"good": UNIT, "idle": UNIT, "kind": KIND}
    if number % 2:
        params["only"], kinds["only"] = (number * 0.732) % 1.0, UNIT
    value = good if state == TrialState.COMPLETE else None
    return create_trial(state=state, value=value, params=params, distributions=kinds)


def test_shares_add_up_to_one_and_what_decides_comes_first():
    found = importances([trial(number) for number in range(60)])
    assert sum(one.share for one in found) == pytest.approx(1.0)
    assert found[0].name == "good"
    assert found[0].share > 0.8
    assert all(0.0 <= one.low <= one.share <= one.high <= 1.0 for one in found)


def test_a_conditional_hyperparameter_is_measured_among_the_trials_that_have_it():
    found = {one.name: one for one in importances([trial(number) for number in range(60)])}
    assert set(found) == {"good", "idle", "kind", "only"}
    assert (found["only"].trials, found["good"].trials) == (30, 60)


def test_trials_that_were_stopped_change_nothing_and_the_same_trials_give_the_same_spread():
    complete = [trial(number) for number in range(20)]
    stopped = [trial(number, TrialState.PRUNED) for number in range(20, 40)]
    assert importances([*complete, *stopped], seed=3) == importances(complete, seed=3)


def test_nothing_is_said_of_too_few_trials_nor_of_trials_that_are_all_the_same():
    assert importances([trial(number) for number in range(FEWEST - 1)]) == []
    same = create_trial(value=0.5, params={"good": 0.5}, distributions={"good": UNIT})
    assert importances([same] * 8) == []
