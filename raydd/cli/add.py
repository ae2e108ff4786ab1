"""`raydd add`: a setting of one's own as the next trial of a study."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples(
    "raydd add first --hp lambda_cc=0.1", "raydd add first --hp lambda_cc=0.1 --hp cc_form=sum"
)


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option(
    "--hp", multiple=True, required=True, metavar="NAME=VALUE", help="A hyperparameter; may be repeated."
)
@options.home
def add(name: str, hp: tuple[str, ...], home: str | None) -> None:
    """Let a setting of your own be the next trial of study NAME, whether or not it is running.

    Hyperparameters that are left open are trial 0's. The study gets one trial more.
    """
    given = options.hyperparameters(hp)

    from raydd import tuning

    study = tuning.Study.open(options.home_folder(home), name)
    for line in tuning.add_point(study, given).lines(study):
        click.echo(line)
