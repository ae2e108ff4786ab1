"""`python -m benchmarks.parity`: does `mixed` precision change accuracy? Paired over seeds, resumable by row.

Each seed is distilled twice, in fp32 and in mixed precision, and each set is evaluated twice on test images.
Two questions are answered apart, each by paired differences with the seed as the unit: what evaluating in
mixed precision changes (same images), and what distilling in it changes (same evaluation). A pool of feature
networks is trained once in each precision and shared by the seeds, as the trials of a study share it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.ending import exit_code
from raydd import devices, files
from raydd.errors import ConfigError

PRECISIONS = ("fp32", "mixed")
WITHIN = 0.01
"""Two settings are called equal when the 95 % interval of their difference lies within one point."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("rows", type=click.Path(path_type=Path))
@click.option("--data", default="digits", help="A catalog name or a folder.  [default: digits]")
@click.option("--method", default="iid", help="[default: iid]")
@click.option("--ipc", default=10, help="[default: 10]")
@click.option("--seeds", default=5, help="[default: 5]")
@click.option("--iterations", default=200, help="Of a distillation.  [default: 200]")
@click.option("--epochs", default=300, help="Of an evaluation.  [default: 300]")
@click.option("--repeats", default=2, help="Networks of an evaluation.  [default: 2]")
@click.option("--net", default="convnet", help="Matched and evaluated.  [default: convnet]")
@click.option("--hp", multiple=True, metavar="NAME=VALUE", help="A hyperparameter; may be repeated.")
@click.option("--home", default="raydd-runs", help="Where assets are kept.  [default: raydd-runs]")
def command(
    rows: Path,
    data: str,
    method: str,
    ipc: int,
    seeds: int,
    iterations: int,
    epochs: int,
    repeats: int,
    net: str,
    hp: tuple[str, ...],
    home: str,
) -> None:
    """Append one row for every seed and pair of precisions to ROWS (JSON lines), then print the differences."""
    from raydd.cli.options import pairs, parse_value

    problems: list[str] = []
    values = {name: parse_value(text) for name, text in pairs("--hp", hp, problems).items()}
    if problems:
        raise ConfigError(problems)
    if seeds < 2:
        raise ConfigError(f"--seeds: must be at least 2, got {seeds}")
    settings = {
        "data": str(Path(data).expanduser().resolve()) if "/" in data else data,
        "method": method,
        "ipc": ipc,
        "iterations": iterations,
        "epochs": epochs,
        "repeats": repeats,
        "net": net,
        "hp": {**values, "net": net},
    }
    for seed in range(seeds):
        measure(rows, settings, seed, home)
    click.echo(summary([row for row in done(rows, settings) if row["seed"] < seeds]))


def done(rows: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of earlier calls with the same settings."""
    return [row for row in files.read_jsonl(rows) if row["settings"] == settings]


def measure(rows: Path, settings: dict[str, Any], seed: int, home: str) -> None:
    """Append the rows of one seed that are not there yet."""
    import raydd

    known = {(row["seed"], row["distilled"], row["evaluated"]) for row in done(rows, settings)}
    data = raydd.load_data(settings["data"])
    for distilled in PRECISIONS:
        missing = [evaluated for evaluated in PRECISIONS if (seed, distilled, evaluated) not in known]
        if not missing:
            continue
        made = raydd.distill(
            settings["method"],
            data,
            ipc=settings["ipc"],
            iterations=settings["iterations"],
            seed=seed,
            hyperparameters=settings["hp"],
            device="cpu",
            precision=distilled,
            compile="on",
            home=home,
        )
        for evaluated in missing:
            result = raydd.evaluate(
                made,
                data,
                net=settings["net"],
                epochs=settings["epochs"],
                repeats=settings["repeats"],
                seed=seed,
                split="test",
                device="cpu",
                precision=evaluated,
                compile="on",
            )
            row = {
                "settings": settings,
                "seed": seed,
                "distilled": distilled,
                "evaluated": evaluated,
                "values": list(result.values),
                "mean": result.mean,
                "seconds": result.seconds,
                "computed": devices.Compute(devices.resolve("cpu"), evaluated, True).facts(),
            }
            files.append_jsonl(rows, row)
            click.echo(json.dumps({name: row[name] for name in ("seed", "distilled", "evaluated", "mean")}))


def summary(rows: list[dict[str, Any]]) -> str:
    """The means, and one line for each question."""
    from raydd.evaluation.statistics import interval, paired

    values: dict[tuple[str, str], list[float]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        values.setdefault((row["distilled"], row["evaluated"]), []).append(row["mean"])
    lines = []
    for (distilled, evaluated), means in values.items():
        found = interval(means)
        lines.append(
            f"distilled in {distilled}, evaluated in {evaluated}: {100 * found.mean:.1f} "
            f"[{100 * found.low:.1f}, {100 * found.high:.1f}], {found.n} seeds"
        )
    exact = values["fp32", "fp32"]
    for name, other in (("evaluating", ("fp32", "mixed")), ("distilling", ("mixed", "fp32"))):
        change = paired(values[other], exact)
        verdict = (
            "within 1 point"
            if change.low > -WITHIN and change.high < WITHIN
            else "not shown to be within 1 point"
        )
        lines.append(
            f"{name} in mixed - in fp32: {100 * change.mean:+.2f} "
            f"[{100 * change.low:+.2f}, {100 * change.high:+.2f}] points: {verdict}"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the command; returns the exit code. After Ctrl-C the same command goes on."""
    return exit_code(lambda: command.main(standalone_mode=False))


if __name__ == "__main__":
    sys.exit(main())
