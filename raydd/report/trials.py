"""A study's trials as people compare them: a ranked table, and one trial in detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from raydd import wording
from raydd.tuning.studies import complete

if TYPE_CHECKING:
    from rich.console import RenderableType

    from raydd.tuning.studies import TrialRecord

CAPTION = "val accuracy is a search estimate: one seed, validation images, and the best of many values lies too high"


def ranked(records: Sequence[TrialRecord]) -> list[tuple[int | None, TrialRecord]]:
    """Trials with their ranks: complete ones by validation accuracy, then all others, unranked, by number.

    Only complete trials have a rank, because a stopped trial's accuracy belongs to less work. Ties go to the
    lower number.
    """
    best_first = complete(records)
    numbers = {record.number for record in best_first}
    others = sorted(
        (record for record in records if record.number not in numbers), key=lambda one: one.number
    )
    return [(rank, record) for rank, record in enumerate(best_first, 1)] + [(None, one) for one in others]


def accuracy(record: TrialRecord) -> str:
    """Mean and sd over nets in percent: `52.3 ± 0.4`; a single net has no sd."""
    mean, std = wording.percent(record.val_accuracy), wording.percent(record.val_accuracy_std)
    return mean if std == wording.NOTHING else f"{mean} ± {std}"


def table(records: Sequence[TrialRecord], title: str | None = None) -> RenderableType:
    """Rank, trial, source, validation accuracy, outcome, iterations, hyperparameters and seconds."""
    result = Table(title=title, title_justify="left", box=box.SIMPLE)
    for name in ("rank", "trial"):
        result.add_column(name, justify="right", no_wrap=True)
    result.add_column("source", no_wrap=True)
    result.add_column("val accuracy %", justify="right", no_wrap=True)
    result.add_column("outcome", no_wrap=True)
    result.add_column("iterations", justify="right", no_wrap=True)
    result.add_column("hyperparameters")
    result.add_column("seconds", justify="right", no_wrap=True)
    for rank, record in ranked(records):
        outcome = f"{record.outcome} ({record.why})" if record.why else record.outcome
        result.add_row(
            wording.NOTHING if rank is None else str(rank),
            str(record.number),
            record.source,
            accuracy(record),
            Text(outcome),
            f"{record.iteration}/{record.iterations}",
            Text(wording.hyperparameters(record.hyperparameters)),
            wording.NOTHING if record.seconds is None else f"{record.seconds:.1f}",
        )
    return Group(result, Text(CAPTION))


def as_row(rank: int | None, record: TrialRecord) -> dict[str, Any]:
    """One trial as plain values; accuracies are fractions."""
    return {"rank": rank, **asdict(record)}


def as_rows(records: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """The table as plain values, ranked."""
    return [as_row(rank, record) for rank, record in ranked(records)]


def detail(record: TrialRecord, rank: int | None, default_name: str = "") -> Table:
    """One trial, a line for every fact."""
    result = Table(box=None, show_header=False, pad_edge=False)
    result.add_column(style="bold", no_wrap=True)
    result.add_column()
    gain = None
    if record.val_accuracy is not None and record.initial_accuracy is not None:
        gain = record.val_accuracy - record.initial_accuracy
    source = (
        f"{record.source} ({default_name})" if record.source == "default" and default_name else record.source
    )
    facts = {
        "trial": str(record.number),
        "rank": wording.NOTHING if rank is None else str(rank),
        "source": source,
        "outcome": f"{record.outcome}: {record.why}" if record.why else record.outcome,
        "iterations": f"{record.iteration} of {record.iterations}",
        "val accuracy %": f"{accuracy(record)}   (search estimate)",
        "initial images": f"{wording.percent(record.initial_accuracy)} %, gain {wording.points(gain)}",
        "seconds": wording.NOTHING if record.seconds is None else f"{record.seconds:.1f}",
        **{name: wording.value(record.hyperparameters[name]) for name in sorted(record.hyperparameters)},
    }
    for name, text in facts.items():
        result.add_row(name, Text(text))
    return result
