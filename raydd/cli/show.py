"""`raydd show`: a study's trials as a table, or one trial in detail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from raydd.cli import options
from raydd.errors import StudyError

if TYPE_CHECKING:
    from raydd.tuning import Study

EPILOG = options.examples("raydd show first", "raydd show first/best --json")


@click.command(epilog=EPILOG)
@click.argument("name", metavar="NAME[/TRIAL]")
@options.home
@options.as_json
def show(name: str, home: str | None, as_json: bool) -> None:
    """Show study NAME's trials, best first, and its confirmation on test data if there is one.

    NAME/3 shows trial 3 in detail, NAME/best the first-ranked one, NAME/default trial 0. Accuracies of the
    table are search estimates: they were measured on validation data, and chosen from.
    """
    from raydd.cli import output
    from raydd.report import confirmation, trials
    from raydd.tuning import Study

    study_name, slash, trial = name.partition("/")
    study = Study.open(options.home_folder(home), study_name)
    records, report = study.trials(), study.report()
    ranks = {record.number: rank for rank, record in trials.ranked(records)}
    if slash:
        record = study.trial(_number(study, trial))
        if as_json:
            output.emit_json(trials.as_row(ranks[record.number], record))
        else:
            default_name = report["default_name"] if report else ""
            output.show(trials.detail(record, ranks[record.number], default_name))
    elif as_json:
        output.emit_json({"study": study.name, "trials": trials.as_rows(records), "report": report})
    else:
        confirmed = confirmation.render(report) if report else ["not confirmed on test data yet"]
        output.show(trials.table(records, title=f"study {study.name}"), *confirmed)


def _number(study: Study, trial: str) -> int:
    if trial == "default":
        return 0
    if trial == "best":
        best = study.best()
        if best is None:
            raise StudyError(f"study {study.name!r} has no complete trial yet, so there is no best one")
        return best.number
    if not trial.isdigit():
        raise StudyError(f"trial {trial!r} of study {study.name!r} must be a number, 'best' or 'default'")
    return int(trial)
