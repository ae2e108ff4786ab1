"""`raydd list`: every study of a home in a line."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples("raydd list", "raydd list --home /shared/raydd-runs --json")


@click.command("list", epilog=EPILOG)
@options.home
@options.as_json
def list_(home: str | None, as_json: bool) -> None:
    """List all studies with their state, their trials, their best accuracy and their size.

    States: running; stopped, which `raydd resume` goes on with; search done, which `raydd confirm` reports on
    test data; confirmed; failed, where no trial is complete.
    """
    from raydd.cli import output
    from raydd.report import studies
    from raydd.tuning import overview

    folder = options.home_folder(home)
    lines = overview.overview(folder)
    if as_json:
        output.emit_json(studies.as_rows(lines))
    elif lines:
        output.show(studies.table(lines))
    else:
        click.echo(f"there is no study in {folder}; `raydd search METHOD` makes one")
