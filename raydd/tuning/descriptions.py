"""What the runs of a study say in MLflow, in Markdown: what was done, what came of it, and how to get it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raydd import wording
from raydd.tuning.runs import LINKS
from raydd.tuning.studies import complete

if TYPE_CHECKING:
    from raydd.tuning.parent import Parent
    from raydd.tuning.studies import TrialRecord

ESTIMATE = "search estimate: validation images and one seed, and the best of many such values lies too high"
UNBROKEN = "\u00a0"  # a space at which a table's cell is not broken
WHY = {
    "complete": "all of it was done",
    "pruned": "it was stopped early, because others were better after as much work",
    "interrupted": "it was stopped with its study, and can go on",
    "running": "it runs",
}


def of_trial(study: str, record: TrialRecord, parent: Parent) -> str:
    """A child run.

    Args:
        study: the study's name.
        record: of the trial.
        parent: what all trials have in common.
    """
    tags, address = parent.tags, f"{study}/{record.number}"
    headline = f"**Trial {record.number} of study {study}: {record.outcome}"
    if record.val_accuracy is not None:
        headline += f", {wording.percent(record.val_accuracy)} % on validation images** (search estimate)"
    else:
        headline += "**"
    done = f"{record.iteration} of {record.iterations} {parent.unit}"
    why = record.why or WHY.get(record.outcome, "")
    facts = {
        "data": f"{tags['raydd.dataset']}, {tags['raydd.ipc']} images per class, {tags['raydd.labels']} labels",
        "outcome": f"**{record.outcome}**" + (f": {why}" if why else ""),
        "work": f"{done}, {wording.duration(record.seconds)}",
        "setting": parent.default_name if record.source == "default" else record.source,
    }
    if record.val_accuracy is not None:
        std = wording.percent(record.val_accuracy_std)
        spread = "" if std == wording.NOTHING else f" ± {std} over networks"
        facts["accuracy"] = f"**{wording.percent(record.val_accuracy)} %**{spread} ({ESTIMATE})"
    if record.val_accuracy is not None and record.initial_accuracy is not None and record.iteration:
        gain = wording.points(record.val_accuracy - record.initial_accuracy)
        facts["gain"] = (
            f"{gain} points over the initial images ({wording.percent(record.initial_accuracy)} %)"
        )
    values = {name: wording.value(record.hyperparameters[name]) for name in sorted(record.hyperparameters)}
    return "\n\n".join(
        [
            headline,
            parent.title,
            _table(("", ""), facts.items()),
            _table(("hyperparameter", "value"), values.items()) if values else "Nothing was searched.",
            f"`raydd show {address}` shows it, `raydd get {address}` fetches its distilled set from this server; the "
            "files are below *Artifacts*: the set and its picture in `distilled`, the picture at every evaluation in "
            "`previews`.",
        ]
    )


def of_study(
    study: str,
    parent: Parent,
    records: Sequence[TrialRecord],
    asked: int,
    report: Mapping[str, Any] | None,
) -> str:
    """The parent run: what was confirmed comes first, then the search, then the plan.

    Args:
        study: its name.
        parent: what all trials have in common.
        records: trials, as far as they are to be counted.
        asked: trials in all.
        report: the confirmation, if there is one.
    """
    confirmed = ["Nothing is confirmed on test data yet."] if report is None else list(_confirmed(report))
    parts = [confirmed[0], _search(records, asked), LINKS, parent.title, *confirmed[1:]]
    parts.append("\n".join(f"- {line}" for line in parent.lines))
    parts.append(
        f"`raydd show {study}` prints its trials, `raydd get {study}/best` fetches the best set from this server. The "
        "best trials' images are side by side in `contact_sheet.png`."
    )
    return "\n\n".join(parts)


def _search(records: Sequence[TrialRecord], asked: int) -> str:
    counts = Counter(record.outcome for record in records)
    shown = ", ".join(f"{counts[outcome]} {outcome}" for outcome in sorted(counts))
    text = f"**Search**: {len(records)} of {asked} trials" + (f" ({shown})" if shown else "")
    best = next(iter(complete(records)), None)
    if best is None:
        return text + "; none is complete yet."
    accuracy = wording.percent(best.val_accuracy)
    return f"{text}; best: trial {best.number} with {accuracy} % on validation images ({ESTIMATE})."


def _confirmed(report: Mapping[str, Any]) -> Iterator[str]:
    """Headline, a table for each kind of labels, differences: soft and hard labels are not put in one table."""
    arms = report["arms"]
    first = arms[0]
    yield (
        f"**Confirmed: {wording.percent(first['mean'])} %{_interval(first)} on test data**, trial "
        f"{report['winner']['trial']}, {first['net']}, {first['n']} fresh distillations, "
        f"{first.get('label_regime', report['label_regime'])} labels. Test data were read "
        f"{report['test_readings']} times and chose nothing."
    )
    several = len({arm["net"] for arm in arms}) > 1
    regimes = dict.fromkeys(arm.get("label_regime", report["label_regime"]) for arm in arms)
    for regime in regimes:
        rows = [
            (
                arm["name"],
                *([arm["net"]] if several else []),
                wording.percent(arm["mean"]),
                _interval(arm).strip().replace(" ", UNBROKEN) or wording.NOTHING,
                str(arm["n"]),
                str(arm["optimisation_steps"]),
                wording.size(arm.get("image_bytes", arm["bytes"])),
                arm["title"],
            )
            for arm in arms
            if arm.get("label_regime", report["label_regime"]) == regime
        ]
        header = (
            f"{regime} labels",
            *(["net"] if several else []),
            *("test accuracy %", "95 % interval", "runs", "steps", "images", ""),
        )
        yield _table(header, rows)
    if report["differences"]:
        yield "\n".join(f"- {difference['text']}" for difference in report["differences"])
    for caution in report.get("cautions", ()):
        yield str(caution)


def _interval(arm: Mapping[str, Any]) -> str:
    if arm["n"] < 2:
        return ""
    return f" [{wording.percent(arm['low'])}, {wording.percent(arm['high'])}]"


def _table(header: Sequence[str], rows: Any) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
