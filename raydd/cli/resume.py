"""`raydd resume`: go on with a study that was stopped."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples("raydd resume first", "raydd resume first --home /shared/raydd-runs")


@click.command(epilog=EPILOG)
@click.argument("name")
@options.home
def resume(name: str, home: str | None) -> None:
    """Go on with study NAME where it was stopped: finished trials stay, interrupted ones continue."""
    from raydd import tuning
    from raydd.cli import output

    folder = options.home_folder(home)
    study = tuning.Study.open(folder, name)
    with tuning.Progress() as progress:
        result = tuning.resume(study, progress)
    output.finish(result, folder)
