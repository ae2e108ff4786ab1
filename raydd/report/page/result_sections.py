"""Sections of a report about its result: the headline, the distilled images, and what the winner is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd import wording
from raydd.report import confirmation
from raydd.report.page import figures_result, picture
from raydd.report.page.markup import Markup, facts, join, paragraphs, prose, table, tag
from raydd.report.trials import CAPTION

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts
    from raydd.tuning.studies import TrialRecord


def headline(study: StudyFacts) -> Markup:
    """The confirmed figure with its interval, the winner's setting and the verdicts; or what there is so far."""
    if study.report is None:
        return unconfirmed(study)
    report = study.report
    winner = report["arms"][0]
    interval = f"95 % interval [{wording.percent(winner['low'])}, {wording.percent(winner['high'])}]"
    estimate = report["search_estimate"]
    labels = report["label_regime"]
    return join(
        [
            notices(study),
            tag(
                "div",
                tag("div", f"{wording.percent(winner['mean'])} ", tag("small", "%"), class_="figure"),
                tag(
                    "p",
                    tag("strong", "accuracy on test data"),
                    f", {interval} over {winner['n']} distillation runs with fresh seeds; {labels} labels, "
                    f"{winner['net']}, {report['protocol']['name']} protocol",
                ),
                class_="headline",
            ),
            tag("p", "Winner: ", tag("strong", _name(report)), setting(report["winner"]["hyperparameters"])),
            verdicts(report),
            *(tag("p", one, class_="notice") for one in confirmation.cautions(report)),
            hard_labels(winner),
            tag(
                "p",
                f"Search estimate of trial {estimate['trial']}: {wording.percent(estimate['val_accuracy'])} % on "
                "validation data, chosen as the best of many and therefore too high; not to be quoted.",
                class_="estimate",
            ),
        ]
    )


def hard_labels(winner: Mapping[str, Any]) -> Markup | None:
    """What the pixels of a soft-label set are worth by themselves, and whose labels they had."""
    hard, teacher = winner.get("hard"), winner.get("teacher")
    if not hard or not teacher:
        return None
    return tag(
        "p",
        f"The same pixels with hard labels: {wording.percent(hard['mean'])} % [{wording.percent(hard['low'])}, "
        f"{wording.percent(hard['high'])}]. Soft labels tell what their teacher knows ({teacher['net']}, "
        f"{wording.percent(teacher['test_accuracy'])} % on the same data), and are not to be ranked with hard ones.",
    )


def _name(report: Mapping[str, Any]) -> str:
    trial = report["winner"]["trial"]
    return f"trial {trial}" + (f" ({report['default_name']})" if trial == 0 else "")


def setting(values: Mapping[str, Any]) -> Markup:
    """Hyperparameters as a list."""
    if not values:
        return Markup(" (nothing was searched)")
    return facts((name, wording.value(values[name])) for name in sorted(values))


def verdicts(report: Mapping[str, Any]) -> Markup:
    """Every paired difference in words; the border tells which are resolved."""
    kinds = {True: "better", False: "worse"}
    items = [
        tag("li", one["text"], class_=kinds[one["mean"] > 0] if one["resolved"] else None)
        for one in report["differences"]
    ]
    if not items:
        return paragraphs(["Nothing was evaluated that the winner could be compared with."])
    note = "In points, over pairs with the same seeds, with 95 % intervals; resolved after Holm's correction or not."
    return join([tag("ul", *items, class_="verdicts"), tag("p", note, class_="estimate")])


def notices(study: StudyFacts) -> Markup:
    """That a study still runs, was stopped, or had trials join after its confirmation."""
    status = study.status
    said = []
    if status.running:
        said.append("The study is running: this report shows it as it was when it was written.")
    elif status.state == "stopped":
        count = sum(status.outcomes.values())
        said.append(
            f"The study was stopped before its end: {count} of {status.asked} trials were begun. "
            f"`{status.next[0]}` goes on."
        )
    elif study.report is not None and status.state != "confirmed":
        said.append(
            "Trials have joined since this confirmation was made: it is not of all trials shown below."
        )
    return join(tag("p", prose(one), class_="notice") for one in [*said, *status.notices])


def unconfirmed(study: StudyFacts) -> Markup:
    """What can be said before anything was measured on test data."""
    best = study.complete[0].record if study.complete else None
    if best is None:
        return join([notices(study), tag("p", _why_none(study), class_="notice")])
    return join(
        [
            notices(study),
            tag(
                "p",
                "Nothing is confirmed on test data yet, so that there is no result to quote. ",
                "" if study.status.running else prose(f"`{study.status.next[0]}` comes next."),
                class_="notice",
            ),
            tag(
                "div",
                tag(
                    "div",
                    f"{wording.percent(best.val_accuracy)} ",
                    tag("small", "%"),
                    class_="figure estimate",
                ),
                tag(
                    "p",
                    tag("strong", "search estimate"),
                    f", trial {best.number}: one seed, validation images, and the best of "
                    f"{len(study.complete)} complete trials, therefore too high",
                ),
                class_="headline",
            ),
            tag(
                "p",
                "Best trial so far: ",
                tag("strong", f"trial {best.number}"),
                setting(best.hyperparameters),
            ),
        ]
    )


def _why_none(study: StudyFacts) -> str:
    outcomes = study.status.outcomes
    if not outcomes:
        return "No trial has begun yet."
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"No trial is complete ({said}), so that there is neither a result nor a search estimate."


def images(study: StudyFacts) -> Markup | None:
    """The winner's distilled set as a picture, and UDD's maps or whatever else its method draws of it."""
    if study.winner is None:
        return None
    folder = study.study.trial_folder(study.winner)
    confirmed = study.report is not None and (study.study.folder / "grid.png").exists()
    whose = f"trial {study.winner}"
    about = (
        f"The distilled set of the winner ({whose}), from the first fresh seed of the report: a row for every class, "
        f"{study.config.ipc} images each (at most ten are shown)."
        if confirmed
        else f"The distilled set of the best trial so far ({whose}): a row for every class, at most ten images each."
    )
    parts = [shown(study.study.folder / "grid.png" if confirmed else folder / "grid.png", about)]
    for path in sorted((folder / "pictures").glob("*.png")):
        parts.append(shown(path, f"{path.stem.replace('_', ' ').capitalize()} of {whose}, from the search."))
    return join(parts) or None


def shown(path: Path, caption: str) -> Markup | None:
    """A picture with its caption; None where there is none that can be read."""
    try:
        address, small = picture.data_address(path)
    except OSError:
        return None
    note = " Shown smaller than it is." if small else ""
    return tag(
        "figure",
        tag("img", src=address, alt=caption, class_="picture"),
        tag("figcaption", caption + note),
    )


def comparison(study: StudyFacts) -> Markup | None:
    """Arms and differences as figures, and the whole report as the command line prints it."""
    report = study.report
    if report is None:
        return None
    found = figures_result.differences(report)
    return join(
        [
            tag("p", confirmation.protocol(report)),
            found.markup() if found else None,
            figures_result.arms(report).markup(),
            tag(
                "details",
                tag("summary", prose("All figures of the confirmation, as `raydd show` prints them")),
                tag("pre", confirmation.text(report)),
            ),
        ]
    )


def trial_table(study: StudyFacts) -> Markup | None:
    """Every trial in a row; a click on a title sorts."""
    if not study.trials:
        return None
    names = sorted({name for trial in study.trials for name in trial.record.hyperparameters})
    numbers = ["rank", "trial", "val accuracy %", "sd nets", "initial %", "iterations", "seconds"]
    columns = ["rank", "trial", "outcome", *numbers[2:], "source", *names]
    order = sorted(study.trials, key=lambda one: (one.rank is None, one.rank or 0, one.number))
    rows = []
    for trial in order:
        record = trial.record
        values = [
            (wording.value(record.hyperparameters[name]), record.hyperparameters[name])
            if name in record.hyperparameters
            else (wording.NOTHING, None)
            for name in names
        ]
        rows.append(
            [
                (wording.NOTHING if trial.rank is None else trial.rank, trial.rank),
                record.number,
                _outcome(study, record),
                (wording.percent(record.val_accuracy), record.val_accuracy),
                (wording.percent(record.val_accuracy_std), record.val_accuracy_std),
                (wording.percent(record.initial_accuracy), record.initial_accuracy),
                (f"{record.iteration}/{record.iterations}", record.iteration),
                (f"{trial.seconds:.1f}", trial.seconds),
                record.source,
                *values,
            ]
        )
    return table(
        columns,
        rows,
        caption=f"All trials; a click on a title sorts. {CAPTION[0].upper()}{CAPTION[1:]}. A dash where a trial does "
        "not have a hyperparameter.",
        sortable=True,
        right=[*numbers, *(name for name in names if _numeric(study, name))],
    )


def _numeric(study: StudyFacts, name: str) -> bool:
    values = [trial.record.hyperparameters.get(name) for trial in study.trials]
    return all(isinstance(value, int | float) for value in values if value is not None)


def _outcome(study: StudyFacts, record: TrialRecord) -> Any:
    chosen = study.report is not None and record.number == study.winner
    shown = f"{record.outcome}, winner" if chosen else record.outcome
    return tag("span", shown, title=record.why) if record.why else shown
