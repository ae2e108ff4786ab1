"""How the commands of the benchmarks end: a mistake of the user is one sentence on stderr."""

from __future__ import annotations

from collections.abc import Callable

import click

from raydd.errors import RayddError

INTERRUPTED = 130


def exit_code(run: Callable[[], object]) -> int:
    """Run a command and give its exit code: 0 done, 1 failed, 2 bad input, 130 Ctrl-C."""
    try:
        run()
    except SystemExit as ending:
        return int(ending.code or 0)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        return error.exit_code
    except RayddError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    return 0
