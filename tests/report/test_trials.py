import io

import pytest
from rich.console import Console

from raydd.report import trials
from raydd.tuning.studies import TrialRecord


def record(number, outcome="complete", accuracy=0.5, std=0.01, **changes):
    values = {
        "number": number,
        "outcome": outcome,
        "source": "model",
        "hyperparameters": {"lr_img": 1.0, "lambda_cc": 0.00123456, "cc_form": "sum"},
        "val_accuracy": accuracy,
        "val_accuracy_std": std,
        "initial_accuracy": 0.4,
        "iteration": 200,
        "iterations": 200,
        "seconds": 12.34,
        "why": "",
    }
    return TrialRecord(**{**values, **changes})


def printed(renderable, width=200):
    buffer = io.StringIO()
    Console(file=buffer, width=width).print(renderable)
    return buffer.getvalue()


@pytest.fixture
def records():
    return [
        record(0, accuracy=0.5, source="default"),
        record(1, "pruned", accuracy=0.9, iteration=22),
        record(2, accuracy=0.6),
        record(3, "failed", accuracy=None, std=None, why="OSError: [red]full[/red]", seconds=None),
        record(4, accuracy=0.6),
    ]


def test_complete_trials_are_ranked_by_accuracy_and_stopped_ones_are_not(records):
    ranks = [(rank, one.number) for rank, one in trials.ranked(records)]
    assert ranks == [(1, 2), (2, 4), (3, 0), (None, 1), (None, 3)]


def test_the_table_shows_percent_hyperparameters_and_reasons(records):
    lines = printed(trials.table(records)).splitlines()
    best = next(line for line in lines if "60.0 ± 1.0" in line)
    assert best.split() == [
        "1",
        "2",
        "model",
        "60.0",
        "±",
        "1.0",
        "complete",
        "200/200",
        "cc_form=sum",
        "lambda_cc=0.001235",
        "lr_img=1",
        "12.3",
    ]
    pruned = next(line for line in lines if "pruned" in line)
    assert pruned.split()[:2] == ["-", "1"]
    assert "22/200" in pruned
    assert any("failed (OSError: [red]full[/red])" in line for line in lines)
    assert any("search estimate" in line for line in lines)


def test_a_single_net_has_no_spread():
    assert trials.accuracy(record(0, std=None)) == "50.0"
    assert trials.accuracy(record(0, accuracy=None, std=None)) == "-"


def test_rows_keep_fractions(records):
    first = trials.as_rows(records)[0]
    assert (first["rank"], first["number"], first["val_accuracy"]) == (1, 2, 0.6)


def test_detail_names_the_gain_over_the_initial_images():
    text = printed(
        trials.detail(record(0, source="default"), 3, "CIFAR-10's published setting, carried over")
    )
    assert "40.0 %, gain +10.0" in text
    assert "default (CIFAR-10's published setting, carried over)" in text
    assert "0.001235" in text
