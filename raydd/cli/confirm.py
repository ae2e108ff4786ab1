"""`raydd confirm`: re-rank and report a finished study again, or with more seeds."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples("raydd confirm first", "raydd confirm first --seeds 10")


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option("--seeds", type=click.IntRange(min=2), help="Report seeds in all; those already run are kept.")
@options.home
@options.as_json
def confirm(name: str, seeds: int | None, home: str | None, as_json: bool) -> None:
    """Report study NAME's winner on test data, re-ranking its best trials on validation data first.

    A winner that was frozen before stays the winner: test figures must not choose. Every reading of test data
    is counted in the study's ledger, and the count is printed.
    """
    import sys

    from rich.console import Console

    from raydd import tuning
    from raydd.cli import output
    from raydd.report import confirmation
    from raydd.report.page import write_report

    study = tuning.Study.open(options.home_folder(home), name)
    # With --json stdout holds the report and nothing else.
    console = Console(file=sys.stderr, highlight=False, markup=False) if as_json else None
    with tuning.Progress(console) as progress:
        result = tuning.confirm(study, progress, seeds=seeds, reporter=write_report)
    if result.report is None:
        click.echo(result.message, err=True)
    elif as_json:
        output.emit_json(result.report)
    else:
        output.show(*confirmation.render(result.report))
        if result.page is not None:
            click.echo(f"\nreport: {result.page}")
    click.get_current_context().exit(result.exit_code)
