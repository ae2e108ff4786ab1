"""`raydd extend`: what `raydd resume` does, for those who look for it under this name."""

from __future__ import annotations

import click

from raydd.cli import options
from raydd.cli.resume import resume

EPILOG = options.examples("raydd extend first --trials +10", "raydd extend first --trials 40 --hours 8")

extend = click.Command(
    "extend", callback=resume.callback, params=resume.params, help=resume.help, epilog=EPILOG
)
