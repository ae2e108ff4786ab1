"""`raydd rerun`: one trial anew, compared bit for bit with what its study holds."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples("raydd rerun first --trial 3", "raydd rerun first/best")


@click.command(epilog=EPILOG)
@click.argument("name", metavar="NAME[/TRIAL]")
@click.option("--trial", metavar="K", help="Its number, best or default, where NAME does not say it.")
@options.home
def rerun(name: str, trial: str | None, home: str | None) -> None:
    """Run trial K of study NAME anew from iteration 0, and say whether it is bit-equal to the study's.

    Compared are the validation accuracy at every evaluation and the last images. A stopped trial is run as far as it
    came. Nothing is written into the study, which may be running. Exit code 1 where they part.
    """
    from raydd import tuning
    from raydd.tuning import addresses

    if (trial is None) == ("/" not in name):
        raise click.UsageError("name the trial once: NAME/TRIAL, or NAME --trial K")
    study, number = addresses.find(options.home_folder(home), name if trial is None else f"{name}/{trial}")
    assert number is not None
    click.echo(f"trial {number} of study {study.name}, anew from iteration 0")

    def told(iteration: int, then: float, now: float) -> None:
        click.echo(f"iteration {iteration}: {then:.4f} in the study, {now:.4f} now")

    result = tuning.run_again(study, number, told)
    for line in result.lines():
        click.echo(line)
    click.get_current_context().exit(0 if result.equal else 1)
