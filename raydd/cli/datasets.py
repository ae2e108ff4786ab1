"""`raydd datasets`: the datasets that have a name."""

from __future__ import annotations

from dataclasses import asdict

import click

from raydd.cli import options

EPILOG = options.examples("raydd datasets", "raydd datasets --json")
COLUMNS = ("name", "title", "size", "channels", "classes", "train", "test", "source")
FOLDERS = "or a folder: train/CLASS/IMAGE and test/CLASS/IMAGE, or CLASS/IMAGE to be split by seed"


@click.command(epilog=EPILOG)
@options.as_json
def datasets(as_json: bool) -> None:
    """List the datasets that --data knows by name; any folder of class folders with images works too."""
    from rich import box
    from rich.table import Table

    from raydd.cli import output
    from raydd.data import catalog

    rows = [asdict(info) for info in catalog()]
    if as_json:
        output.emit_json(rows)
        return
    table = Table(box=box.SIMPLE)
    for title in COLUMNS:
        table.add_column(title)
    for row in rows:
        table.add_row(*(str(row[title]) for title in COLUMNS))
    output.show(table)
    click.echo(FOLDERS)
