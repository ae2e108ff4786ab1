"""`raydd stop`: ask a running study, or one of its trials, to stop."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples("raydd stop first", "raydd stop first/3")


@click.command(epilog=EPILOG)
@click.argument("name", metavar="NAME[/TRIAL]")
@options.home
def stop(name: str, home: str | None) -> None:
    """Ask study NAME to stop, from any machine that sees its folder: trials leave checkpoints, nothing is lost.

    `raydd resume NAME` goes on. NAME/3 stops trial 3 for good, which then counts as pruned; the study goes on.
    """
    from raydd.tuning import addresses
    from raydd.tuning import stop as tuning

    click.echo(tuning.stop(*addresses.find(options.home_folder(home), name)))
