"""What runs say of themselves."""

import dataclasses

import pytest

from raydd.tuning import descriptions
from raydd.tuning.parent import Parent
from raydd.tuning.runs import LINKS
from raydd.tuning.studies import TrialRecord

PARENT = Parent(
    experiment="iid-digits-ipc5",
    title="**IID** — a paper",
    lines=["6 trials of 40 iterations"],
    params={},
    tags={"raydd.dataset": "digits", "raydd.ipc": "5", "raydd.labels": "hard"},
    dataset={},
    default_name="CIFAR-10's published setting, carried over",
    unit="iterations",
)
RECORD = TrialRecord(
    number=3,
    outcome="complete",
    source="model",
    hyperparameters={"lr_img": 0.12345678, "cc_form": "a|b"},
    val_accuracy=0.7239,
    val_accuracy_std=0.0271,
    initial_accuracy=0.6441,
    iteration=40,
    iterations=40,
    seconds=71.3,
)


def trial(**changes):
    return descriptions.of_trial("first", dataclasses.replace(RECORD, **changes), PARENT)


def arm(name, regime="hard", **changes):
    values = {"mean": 0.645, "low": 0.6, "high": 0.69, "n": 3, "net": "convnet", "bytes": 15000}
    return {
        "name": name,
        "title": f"title of {name}",
        "label_regime": regime,
        "optimisation_steps": 31,
        **values,
        **changes,
    }


def report(*arms):
    return {
        "arms": [arm("winner"), *arms],
        "label_regime": "hard",
        "winner": {"trial": 3},
        "test_readings": 19,
        "differences": [{"text": "winner - base: not resolved (+0.4 [-1.0, +1.8])"}],
    }


def study(found=None, records=(RECORD,)):
    return descriptions.of_study("first", PARENT, records, 6, found)


def test_a_trial_says_first_what_came_of_it_as_a_search_estimate():
    first, *rest = trial().split("\n\n")
    assert first == "**Trial 3 of study first: complete, 72.4 % on validation images** (search estimate)"
    text = "\n".join(rest)
    assert "| accuracy | **72.4 %** ± 2.7 over networks (search estimate:" in text
    assert "| gain | +8.0 points over the initial images (64.4 %) |" in text
    assert "| work | 40 of 40 iterations, 1 min 11 s |" in text
    assert "| lr_img | 0.1235 |" in text
    assert "| cc_form | a\\|b |" in text
    assert "`raydd get first/3`" in text


def test_a_trial_without_an_evaluation_claims_no_accuracy_and_no_gain():
    text = trial(outcome="diverged", why="a loss is nan", val_accuracy=None, initial_accuracy=None)
    assert text.startswith("**Trial 3 of study first: diverged**")
    assert "| outcome | **diverged**: a loss is nan |" in text
    assert "%" not in text
    assert "gain" not in text


@pytest.mark.parametrize("outcome", ["pruned", "interrupted", "running"])
def test_a_trial_says_why_it_ended_also_where_nobody_wrote_down_why(outcome):
    assert f"| outcome | **{outcome}**: it " in trial(outcome=outcome)


def test_the_default_setting_has_its_name():
    assert "| setting | CIFAR-10's published setting, carried over |" in trial(source="default")


def test_a_study_without_a_confirmation_says_so_before_its_search_estimate():
    first, second, links, *_ = study().split("\n\n")
    assert first == "Nothing is confirmed on test data yet."
    assert second.startswith(
        "**Search**: 1 of 6 trials (1 complete); best: trial 3 with 72.4 % on validation"
    )
    assert "search estimate" in second
    assert links == LINKS


def test_a_study_whose_trials_all_failed_names_no_best_one():
    failed = dataclasses.replace(RECORD, outcome="failed")
    assert "**Search**: 1 of 6 trials (1 failed); none is complete yet." in study(records=[failed])


def test_the_confirmed_figure_is_the_headline():
    text = study(report(arm("base", mean=0.5775)))
    assert text.startswith("**Confirmed: 64.5 % [60.0, 69.0] on test data**, trial 3, convnet, 3 fresh")
    assert "| base | 57.8 | [60.0,\u00a069.0] | 3 | 31 | 15.0 kB | title of base |" in text
    assert "- winner - base: not resolved" in text
    assert "read 19 times" in text


def test_soft_and_hard_labels_never_share_a_table():
    text = study(report(arm("base"), arm("random", regime="soft")))
    hard, soft = (part for part in text.split("\n\n") if part.startswith(("| hard", "| soft")))
    assert ("| base " in hard, "| random " in hard) == (True, False)
    assert ("| base " in soft, "| random " in soft) == (False, True)


def test_one_run_has_no_interval():
    text = study(report(arm("full", n=1, low=float("nan"), high=float("nan"))))
    assert "| full | 64.5 | - | 1 |" in text


def test_nets_are_named_where_there_are_several():
    text = study(report(arm("winner", net="vgg11", mean=0.5)))
    assert "| winner | convnet | 64.5 |" in text
    assert "| winner | vgg11 | 50.0 |" in text
