"""`python -m benchmarks.table ROWS.jsonl`: the comparison table, a row and seed at a time; the same command goes on.

Every row is distilled and read on test with the budget of `benchmarks/table/plan.py`; what is measured is
appended to ROWS at once. `--show` prints the table of what is there.
"""

from __future__ import annotations

import fnmatch
import sys
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.ending import exit_code
from raydd.errors import ConfigError


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("path", metavar="ROWS", type=click.Path(path_type=Path))
@click.option("--data", default="digits", help="A catalog name or a folder.  [default: digits]")
@click.option("--dataset", help="Name of the dataset in the table, for a folder of a catalog's images.")
@click.option("--seeds", default=3, help="Distillations of a row.  [default: 3]")
@click.option("--only", multiple=True, metavar="GLOB", help="Rows, such as 'UDD*'; may be repeated.")
@click.option("--ipc", type=int, multiple=True, help="Rows of this IPC only; may be repeated.")
@click.option("--net", default="convnet", help="Matched, judged and evaluated with.  [default: convnet]")
@click.option("--iterations", type=int, help="Of a distillation.  [default: 200]")
@click.option("--epochs", type=int, help="Of an evaluation.  [default: 300]")
@click.option(
    "--feature-epochs",
    type=int,
    help="Of the network that judges and selects.  [default: 30; 200 on small data]",
)
@click.option("--idc-lr-img", type=float, help="lr_img of IDC and UDD.  [default: the published one]")
@click.option(
    "--teacher",
    multiple=True,
    metavar="FAMILY=NET",
    help="Instead of the plan's, such as ResNet-18=resnet18-bn-w32.",
)
@click.option("--precision", default="fp32", help="fp32 or mixed.  [default: fp32]")
@click.option("--compile/--eager", "compiled", default=True, help="[default: compile]")
@click.option("--minutes", type=float, help="Begin no further row after so many minutes.")
@click.option(
    "--home", default="raydd-runs/table", help="Assets and target banks.  [default: raydd-runs/table]"
)
@click.option("--show", is_flag=True, help="Measure nothing, print the tables of all rows as Markdown.")
def command(
    path: Path,
    data: str,
    dataset: str | None,
    seeds: int,
    only: tuple[str, ...],
    ipc: tuple[int, ...],
    net: str,
    iterations: int | None,
    epochs: int | None,
    feature_epochs: int | None,
    idc_lr_img: float | None,
    teacher: tuple[str, ...],
    precision: str,
    compiled: bool,
    minutes: float | None,
    home: str,
    show: bool,
) -> None:
    """Append what is missing of the table to ROWS (JSON lines), seed by seed, then print it."""
    from benchmarks.table import plan, summary
    from benchmarks.table.bench import prepare
    from raydd import files

    if show:
        click.echo(summary.markdown(files.read_jsonl(path)))
        return
    if seeds < 2:
        raise ConfigError(f"--seeds: must be at least 2, got {seeds}")
    everything = plan.rows()
    chosen = [
        row
        for row in everything
        if (not only or any(fnmatch.fnmatch(row.name, glob) for glob in only)) and (not ipc or row.ipc in ipc)
    ]
    if not chosen:
        names = ", ".join(sorted({row.name for row in everything}))
        raise ConfigError(f"--only: no row matches {', '.join(only)} at IPC {ipc or (1, 10)} (rows: {names})")
    changed = {
        "iterations": iterations,
        "epochs": epochs,
        "feature_epochs": feature_epochs,
        "idc_lr_img": idc_lr_img,
    }
    bench = prepare(data, dataset, net, changed, teachers(teacher), precision, compiled, home)
    run(path, bench, chosen, everything, seeds, minutes)
    click.echo(summary.markdown(files.read_jsonl(path)))


def teachers(asked: tuple[str, ...]) -> dict[str, str]:
    """Architecture of a family's teacher and students by `FAMILY=NET`."""
    from benchmarks.table.plan import TEACHERS
    from raydd.nets import validate

    found = {}
    for one in asked:
        family, _, net = one.partition("=")
        if family not in TEACHERS:
            raise ConfigError(f"--teacher: FAMILY=NET with a family of {', '.join(TEACHERS)}, got '{one}'")
        validate(net)
        found[family] = net
    return found


def run(
    path: Path, bench: Any, chosen: list[Any], everything: list[Any], seeds: int, minutes: float | None
) -> None:
    """Measure what is missing, all rows of a seed before the next: they share its real side in the bank."""
    from benchmarks.table.measure import measure, read
    from raydd import files

    rows = read(path, bench.settings)
    known = {found["key"]: _plain(found) for row in rows for found in row["evaluations"]}
    done = {(row["row"], row["ipc"], row["seed"]) for row in rows}
    weights = {name: sha256 for row in rows for name, sha256 in row["assets"].items()}
    begun = time.monotonic()
    for seed in range(seeds):
        for row in chosen:
            if (row.name, row.ipc, seed) in done:
                continue
            if minutes is not None and time.monotonic() - begun > 60 * minutes:
                return
            steps = [
                bench.steps(other)
                for other in everything
                if other.ipc == row.ipc
                and row.name in other.bases
                and bench.protocol(other) == bench.protocol(row)
            ]
            record = measure(bench, row, seed, steps, known, weights)
            files.append_jsonl(path, {"settings": bench.settings, **record})
            final = next(found for found in record["evaluations"] if found["stage"] == "final")
            click.echo(
                f"IPC {row.ipc}, {row.name}, seed {seed}: {100 * final['mean']:.1f} % in {record['seconds']:.0f} s",
                err=True,
            )


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "stage"}


def main() -> int:
    """Run the command; returns the exit code. After Ctrl-C the same command goes on."""
    return exit_code(lambda: command.main(standalone_mode=False))


if __name__ == "__main__":
    sys.exit(main())
