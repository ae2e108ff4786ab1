"""`raydd report`: a study's report as one HTML file and PNGs, or several studies compared."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples("raydd report first --open", "raydd report first second third --out ~/comparison")


@click.command(epilog=EPILOG)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--out",
    metavar="FOLDER",
    help="Where to write.  [default: report/ in the study's folder; several studies: reports/ in the home]",
)
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
@options.home
def report(names: tuple[str, ...], out: str | None, opens: bool, home: str | None) -> None:
    """Write the report of study NAME: report.html, which needs nothing else and no network, and PNGs beside it.

    A study has one at its end; this makes it anew, at any time. Several names give one page that compares the studies:
    what was confirmed, and the best of n trials against what they cost.
    """
    import webbrowser

    from raydd import files
    from raydd.report import page
    from raydd.tuning import Study

    folder = options.home_folder(home)
    studies = [Study.open(folder, name) for name in dict.fromkeys(names)]
    target = None if out is None else files.absolute(out)
    if len(studies) == 1:
        written = page.write_report(studies[0], target)
    else:
        written = page.write_comparison(studies, target)
    click.echo(str(written[0]))
    if opens:
        webbrowser.open(written[0].as_uri())
