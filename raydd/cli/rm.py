"""`raydd rm`: delete a study."""

from __future__ import annotations

import click

from raydd.cli import options
from raydd.errors import ConfigError

EPILOG = options.examples("raydd rm first", "raydd rm first --yes")


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.home
def rm(name: str, yes: bool, home: str | None) -> None:
    """Delete the folder of study NAME for good, which must not be running.

    Its runs in MLflow stay, and so do comparisons with other studies (`raydd report A B`) and assets, which other
    studies may use; `raydd gc` finds those that nobody needs.
    """
    import sys

    from raydd import wording
    from raydd.tuning import Study, cleaning, disk

    study = Study.open(options.home_folder(home), name)
    cleaning.check_removable(study)
    held = f"{study.folder}: {len(study.numbers())} trials, {wording.size(disk.usage(study.folder).size)}"
    if study.report() is not None:
        held += ", with its confirmation on test data"
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError(f"--yes: is needed to delete {held}, because nobody can be asked here")
        click.echo(held)
        if not click.confirm("delete it?"):
            click.echo("nothing was deleted")
            return
    cleaning.remove(study)
    click.echo(f"deleted {held}; its runs in MLflow stay")
