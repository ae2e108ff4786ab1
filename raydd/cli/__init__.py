"""The `raydd` command: a group that imports a verb's module only when that verb is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from raydd import devices
from raydd.errors import RayddError

__all__ = ["main"]

BAD_INPUT, INTERRUPTED = 2, 130

# One line each, written here so that `raydd --help` imports no verb.
VERBS = {
    "search": "Search a method's hyperparameters and confirm the best ones on test data.",
    "resume": "Go on with a study that was stopped, or ask it for more trials or hours.",
    "extend": "The same as resume.",
    "add": "Let a setting of your own be the next trial of a study.",
    "rerun": "Run one trial anew and compare it bit for bit with the study's.",
    "confirm": "Re-rank and report a study again, or with more seeds.",
    "init": "Write a commented study.yaml to start from.",
    "list": "List all studies of a home with their state, accuracy and size.",
    "status": "Say where a study stands: who runs it, its trials, its cost, what failed.",
    "show": "Show a study's trials as a table, or one trial in detail.",
    "report": "Write a study's report as one HTML file and PNGs, or compare several studies.",
    "table": "Print studies as the table of a paper: published, carried over, tuned.",
    "figure": "Draw a figure of the papers from studies.",
    "logs": "Tell what happened to a study or a trial, in order.",
    "ui": "Open a study in the MLflow UI, on this machine only.",
    "sync": "Write into the tracking store what it lacks of a study.",
    "stop": "Ask a running study, or one of its trials, to stop.",
    "doctor": "Check this machine, its Ray and the tracking store, a line each with the remedy.",
    "rm": "Delete a study.",
    "gc": "Show what lies in a home, and delete what nobody needs.",
    "distill": "Distil one set with given hyperparameters.",
    "evaluate": "Train networks on a distilled set and measure their accuracy.",
    "get": "Fetch a study's distilled set from the tracking server, checked by its hash.",
    "convert": "Read and write distilled sets in the formats of others.",
    "methods": "List the installed methods.",
    "datasets": "List the datasets that have a name.",
}

# A module is bound to its name in this one, where a builtin would be hidden by it.
MODULES = {"list": "list_"}


class LazyGroup(click.Group):
    """A click group whose verbs live in modules of the same name; user mistakes end in one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all verbs, in the order of daily use."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, imported now."""
        if cmd_name not in VERBS:
            return None
        module = MODULES.get(cmd_name, cmd_name)
        command: click.Command = getattr(importlib.import_module(f"raydd.cli.{module}"), module)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs with their summaries, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a `RayddError` becomes `error: ...` on stderr and its exit code, Ctrl-C becomes 130."""
        devices.prepare_environment()
        try:
            return super().invoke(ctx)
        except RayddError as error:
            for line in str(error).splitlines():
                click.echo(f"error: {line}", err=True)
            ctx.exit(error.exit_code)
        except (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {where}{error.strerror or error}", err=True)
            ctx.exit(BAD_INPUT)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="`raydd VERB --help` shows a verb's flags with examples.  Exit codes: 0 done, 1 the study failed, "
    "2 bad input, 75 stopped and resumable, 130 Ctrl-C.",
)
@click.version_option(package_name="raydd", message="raydd %(version)s")
def main() -> None:
    """Hyperparameter search for dataset distillation."""
