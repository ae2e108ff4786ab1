"""`raydd logs`: what happened to a study, or to one trial."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples("raydd logs first", "raydd logs first/3")


@click.command(epilog=EPILOG)
@click.argument("name", metavar="NAME[/TRIAL]")
@options.home
def logs(name: str, home: str | None) -> None:
    """Tell what happened to study NAME: sessions, extensions, failures and ends of trials, oldest first.

    NAME/3 tells trial 3 by its attempts: where each ran, what it reported, and its traceback if it failed; NAME/best
    and NAME/default work too.
    """
    from raydd.tuning import addresses, events

    study, trial = addresses.find(options.home_folder(home), name)
    if trial is not None:
        for line in events.of_trial(study, trial):
            click.echo(line)
        return
    for event in events.of_study(study):
        click.echo(f"{events.stamp(event.time)}  {event.text}")
