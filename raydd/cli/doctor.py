"""`raydd doctor`: can a study run here?"""

from __future__ import annotations

import click

from raydd import files
from raydd.cli import options

EPILOG = options.examples(
    "raydd doctor", "raydd doctor --address auto --tracking-uri http://server:5000 --json"
)


@click.command(epilog=EPILOG)
@options.home
@click.option(
    "--tracking-uri", metavar="URI", help="The store.  [env: MLFLOW_TRACKING_URI; default: the home's own]"
)
@click.option(
    "--address", metavar="HOST:PORT", help="A Ray cluster to join, or auto.  [default: a Ray of its own]"
)
@options.as_json
def doctor(home: str | None, tracking_uri: str | None, address: str | None, as_json: bool) -> None:
    """Check Python, torch, GPUs, the compiler, disks, Ray and its nodes, Optuna and the tracking store.

    One line each: ok, warning (a study runs, worse than it could) or FAILED, with the remedy. Takes a minute or less
    and leaves nothing behind but, in a tracking store, the experiment raydd-doctor with deleted runs. Exit code 0 where
    nothing failed, 1 where something did.
    """
    from raydd.cli import output
    from raydd.tuning import doctor as doctors
    from raydd.tuning import store_uri

    folder = options.home_folder(home)
    uri = store_uri.chosen(tracking_uri, folder)
    checks = []
    for check in doctors.examine(files.absolute(folder), uri, address):
        checks.append(check)
        if not as_json:
            click.echo(f"{check.status:8}{check.name}: {check.found}")
            if check.remedy:
                click.echo(f"        {'':8}-> {check.remedy}")
    if as_json:
        output.emit_json([vars(check) for check in checks])
    failed = sum(check.status == doctors.FAILED for check in checks)
    warned = sum(check.status == doctors.WARNING for check in checks)
    if not as_json:
        click.echo(f"{len(checks)} checks: {failed} failed, {warned} warnings")
    click.get_current_context().exit(1 if failed else 0)
