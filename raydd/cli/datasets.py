"""`raydd datasets`: the datasets that have a name."""

from __future__ import annotations

from dataclasses import asdict

import click

from raydd.cli import options

EPILOG = options.examples("raydd datasets", "raydd datasets --json")
COLUMNS = ("name", "title", "images", "classes", "train", "test", "source")
FOLDERS = "or a folder: train/CLASS/IMAGE and test/CLASS/IMAGE, or CLASS/IMAGE to be split by seed"


@click.command(epilog=EPILOG)
@options.as_json
def datasets(as_json: bool) -> None:
    """List the datasets that --data knows by name; any folder of class folders with images works too."""
    from rich import box
    from rich.table import Table

    from raydd.cli import output
    from raydd.data import catalog

    infos = catalog()
    if as_json:
        output.emit_json([asdict(info) for info in infos])
        return
    table = Table(box=box.SIMPLE)
    for title in COLUMNS:
        # On a narrow terminal all else is wrapped: the name must be typed.
        table.add_column(title, no_wrap=title == "name", overflow="fold")
    for info in infos:
        images = f"{info.size}x{info.size} {'grey' if info.channels == 1 else 'RGB'}"
        counts = (str(number) for number in (info.classes, info.train, info.test))
        table.add_row(info.name, info.title, images, *counts, info.source)
    output.show(table)
    click.echo(FOLDERS)
