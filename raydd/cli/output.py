"""What verbs print: tables that are never wrapped in pipes, JSON without NaN, and the end of a study."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from raydd.tuning import StudyResult


def show(*blocks: RenderableType) -> None:
    """Print tables and paragraphs, an empty line between them.

    They are fitted to a terminal; in a pipe they are plain text whose rows are never wrapped.
    """
    from rich.console import Console

    from raydd.report.plain import plain

    console = Console(highlight=False, markup=False, emoji=False) if sys.stdout.isatty() else None
    for number, block in enumerate(blocks):
        if number:
            click.echo()
        if console is None:
            click.echo(plain(block))
        else:
            console.print(block)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # NaN is not JSON
    return value


def emit_json(value: Any) -> None:
    """Print `value` as indented JSON; NaN and infinities become null."""
    click.echo(json.dumps(_plain(value), indent=2, default=str))


def text(content: str, out: str | None) -> None:
    """Print `content`, or write it to the file `out` and say so.

    Raises:
        ConfigError: the file cannot be written.
    """
    from raydd import files
    from raydd.errors import ConfigError

    if out is None:
        click.echo(content, nl=not content.endswith("\n"))
        return
    target = files.absolute(out)
    try:
        files.write_text(target, content)
    except OSError as error:
        raise ConfigError(f"--out: {target} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {target}")


def beside(as_json: bool) -> Console | None:
    """Where a verb's messages go: with `--json` to stderr, so that stdout holds the JSON and nothing else."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False, markup=False) if as_json else None


def forecast(found: Mapping[str, Any], as_json: bool) -> None:
    """Print what a dry run found."""
    if as_json:
        emit_json(found)
    else:
        from raydd.report import forecast

        show(*forecast.render(found))


def study_arguments(name: str, home: str) -> str:
    """`NAME`, with `--home` where the study would not be found without it."""
    from raydd.cli.options import home_folder

    return name if home == home_folder(None) else f"{name} --home {home}"


def finish(result: StudyResult, home: str) -> None:
    """Print how a study ended and what to do next, and leave with its exit code."""
    from raydd.report import confirmation, trials
    from raydd.tuning.studies import Study

    records = Study(result.folder).trials()
    blocks = [trials.table(records)] if records else []
    if result.report is not None:
        blocks += confirmation.render(result.report)
    show(*blocks)
    click.echo()
    if result.message:
        click.echo(result.message)
    if result.page is not None:
        click.echo(f"report: {result.page}")
    arguments = study_arguments(result.name, home)
    click.echo(f"look at it: raydd ui {arguments}   or   raydd show {arguments}")
    click.get_current_context().exit(result.exit_code)
