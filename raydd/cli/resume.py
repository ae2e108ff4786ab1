"""`raydd resume`: go on with a study that was stopped, or ask it for more."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples("raydd resume first", "raydd resume first --trials +10 --hours +2")


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option("--trials", metavar="N|+N", help="New total of trials, or so many more.")
@click.option("--hours", metavar="H|+H", help="New budget of wall time in hours, or so much more.")
@click.option("--gpu-hours", metavar="G|+G", help="New budget of GPU-hours, or so much more.")
@click.option(
    "--patience",
    type=click.IntRange(min=1),
    metavar="P",
    help="Trials in a row without a new best one that end the search.",
)
@click.option(
    "--address", metavar="HOST:PORT|auto|local", help="Ray cluster to go on with, if it is another one."
)
@click.option(
    "--replicates", type=click.IntRange(min=1), metavar="N", help="Runs of every setting of a grid, in all."
)
@options.home
def resume(
    name: str,
    trials: str | None,
    hours: str | None,
    gpu_hours: str | None,
    patience: int | None,
    address: str | None,
    replicates: int | None,
    home: str | None,
) -> None:
    """Go on with study NAME where it stopped: finished trials stay, interrupted ones continue.

    A study that is done can be asked for more. If that brings further complete trials, the winner is chosen anew
    from all of them; the old one and its report are kept in `confirm/history`.
    """
    from raydd import tuning
    from raydd.cli import output
    from raydd.report.page import write_report

    folder = options.home_folder(home)
    study = tuning.Study.open(folder, name)
    more = tuning.More(
        trials=trials,
        hours=hours,
        gpu_hours=gpu_hours,
        patience=patience,
        address=address,
        replicates=replicates,
    )
    with tuning.Progress() as progress:
        result = tuning.resume(study, progress, more, write_report)
    output.finish(result, folder)
