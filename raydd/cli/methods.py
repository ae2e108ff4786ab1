"""`raydd methods`: what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import click

from raydd.cli import options

if TYPE_CHECKING:
    from raydd.registry import Method

EPILOG = options.examples("raydd methods", "raydd methods --json")


@click.command(epilog=EPILOG)
@options.as_json
def methods(as_json: bool) -> None:
    """List the installed methods; a plug-in that cannot be loaded is listed with the reason."""
    from rich import box
    from rich.table import Table

    from raydd import registry
    from raydd.cli import output

    rows = [_facts(name) for name in registry.names()]
    if as_json:
        output.emit_json(rows)
        return
    table = Table(box=box.SIMPLE)
    for title in ("name", "title", "base", "protocol", "full length", "reference"):
        table.add_column(title)
    for row in rows:
        if "problem" in row:
            table.add_row(row["name"], row["problem"])
        else:
            length = f"{row['iterations']} {row['unit']}"
            table.add_row(
                row["name"],
                row["title"],
                " or ".join(row["bases"]) or "-",
                row["protocol"],
                length,
                row["reference"],
            )
    output.show(table)


def _facts(name: str) -> dict[str, Any]:
    from raydd import registry

    try:
        method = registry.get(name)
    except Exception as error:  # anybody's plug-in: whatever it raises, the others are still listed
        return {"name": name, "problem": str(error) or type(error).__name__}
    return {
        "name": method.name,
        "title": method.title,
        "base": method.base,
        "bases": _bases(method),
        "protocol": method.protocol,
        "iterations": method.iterations,
        "unit": method.unit,
        "reference": method.reference,
    }


def _bases(method: Method) -> list[str]:
    """Methods that this one can stand on: the choices of its hyperparameter `base`, if it has one, else its base."""
    if method.base is None:
        return []
    field = method.hyperparameters.model_fields.get("base")
    choices = get_args(field.annotation) if field is not None else ()
    return [str(choice) for choice in choices] or [method.base]
