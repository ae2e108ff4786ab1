"""`raydd show`: a study's trials as a table, or one trial in detail."""

from __future__ import annotations

import click

from raydd.cli import options

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
    from raydd.tuning import addresses

    study, trial = addresses.find(options.home_folder(home), name)
    records, report = study.trials(), study.report()
    ranks = {record.number: rank for rank, record in trials.ranked(records)}
    if trial is not None:
        record = study.trial(trial)
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
