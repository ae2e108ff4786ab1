"""`raydd gc`: what lies in a home, and delete what nobody needs."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples("raydd gc", "raydd gc --delete")


@click.command(epilog=EPILOG)
@click.option("--delete", is_flag=True, help="Delete what can be deleted.")
@options.home
@options.as_json
def gc(delete: bool, home: str | None, as_json: bool) -> None:
    """Show how much of what lies in a home, and what of it nobody needs; without --delete nothing is deleted.

    That is: assets that no study uses, target banks, which are computed again where they are wanted, what Ray and
    killed processes have left. Studies (`raydd rm`) and comparisons stay, and so does
    all that a running study may use.
    """
    from raydd import wording
    from raydd.cli import output
    from raydd.report import studies
    from raydd.storage import bank
    from raydd.tuning import cleaning

    folder = options.home_folder(home)
    items = cleaning.survey(folder)
    swept = cleaning.sweep(items) if delete else []
    if as_json:
        output.emit_json(
            {
                "home": folder,
                "bank_limit_gib": bank.limit_gb(),
                "items": studies.as_rows(items),
                "deleted": studies.as_rows([item for item in swept if item.deletable]),
            }
        )
        return
    output.show(studies.what_lies_where(items, cleaning.KINDS, bank.limit_gb()))
    for line in studies.deletable(items):
        click.echo(line)
    free = sum(item.size for item in items if item.deletable)
    if not delete:
        said = (
            f"`raydd gc --delete` would free {wording.size(free)}" if free else "there is nothing to delete"
        )
        click.echo(said)
        return
    for item in swept:
        if not item.deletable:
            click.echo(f"not deleted: {item.path}: {item.why}")
    click.echo(f"deleted {wording.size(sum(item.size for item in swept if item.deletable))}")
