"""`raydd status`: where a study stands."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples("raydd status first", "raydd status first --repair")


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option(
    "--repair",
    is_flag=True,
    help="Close runs that MLflow still shows as running although the study's driver was killed.",
)
@options.home
@options.as_json
def status(name: str, repair: bool, home: str | None, as_json: bool) -> None:
    """Say where study NAME stands: who runs it, its stage, its trials, what it has cost, and what failed.

    Each reason of a failure is told once, with the trials that it happened to.
    """
    import dataclasses

    from raydd.cli import output
    from raydd.report import studies
    from raydd.tuning import Study
    from raydd.tuning import status as tuning

    study = Study.open(options.home_folder(home), name)
    closed = tuning.repair(study) if repair else None
    found = tuning.status(study)
    if as_json:
        extra = {} if closed is None else {"repaired": closed}
        output.emit_json({**dataclasses.asdict(found), **extra})
        return
    for line in studies.about(found):
        click.echo(line)
    if closed is not None:
        what = (
            f"closed {len(closed)} MLflow runs: {', '.join(closed)}"
            if closed
            else "no MLflow run was left open"
        )
        click.echo(what)
