"""`raydd sync`: write into the tracking store what it lacks of a study."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples("raydd sync first", "raydd sync first --tracking-uri http://tracking.example:5000")


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option("--tracking-uri", metavar="URI", help="Another MLflow store, which gets a copy.")
@options.home
@options.as_json
def sync(name: str, tracking_uri: str | None, home: str | None, as_json: bool) -> None:
    """Write what the tracking store lacks of study NAME, from the study's folder: runs, metrics, files, confirmation.

    For a store that was away while the study ran, or another one. What the store has stays as it is, so it may be done
    again at any time; a study that runs is refused, because its driver writes itself. Neither Ray nor data are needed.
    """
    from dataclasses import asdict

    from raydd import tuning
    from raydd.cli import output
    from raydd.tuning.store_uri import scheme, ui_url

    folder = options.home_folder(home)
    study = tuning.Study.open(folder, name)
    with tuning.Progress(output.beside(as_json)) as progress:
        done = tuning.synchronise(study, uri=tracking_uri, said=progress.message)
    if as_json:
        output.emit_json(asdict(done))
        return
    click.echo(
        f"{done.uri} has all of study {name}, {done.trials} trials; {done.points} metric values and {done.uploaded} "
        "files were missing"
    )
    if tracking_uri is None:
        click.echo(f"look at it: raydd ui {output.study_arguments(name, folder)}")
    elif scheme(done.uri) in ("http", "https"):
        click.echo(f"look at it: {ui_url(done.experiment_id, done.run_id, uri=done.uri)}")
