"""`raydd table`: studies as the table of a paper."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples(
    "raydd table iid-digits dm-digits", "raydd table iid-digits dm-digits --format latex --out table.tex"
)


@click.command(epilog=EPILOG)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--format",
    "form",
    metavar="csv|markdown|latex",
    default="markdown",
    help="Of the table.  [default: markdown]",
)
@click.option("--out", metavar="FILE", help="File to write instead of printing; an old one is replaced.")
@options.home
def table(names: tuple[str, ...], form: str, out: str | None, home: str | None) -> None:
    """Print confirmed studies as a table: published, carried-over setting, tuned base, tuned method.

    A study of the base that is named too gives the tuned base. Figures are those of the report on test data; the best
    of a row is bold only where that is resolved, and soft and hard labels have parts of their own. Published numbers
    name their source, and those from memory say so.
    """
    from raydd.cli import output
    from raydd.errors import ConfigError, unknown
    from raydd.report import table as tables
    from raydd.tuning.studies import Study

    if form not in tables.FORMATS:
        raise ConfigError(f"--format: {unknown('format', form, tables.FORMATS)}")
    folder = options.home_folder(home)
    studies = [Study.open(folder, name) for name in dict.fromkeys(names)]
    output.text(tables.render(tables.rows(studies), form), out)
