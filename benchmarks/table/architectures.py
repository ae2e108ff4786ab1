"""`python -m benchmarks.table.architectures ROWS.jsonl`: one set of each method, trained on by other architectures.

Every set is distilled with the budget of the table and kept under the home; an architecture and label regime at a
time is appended to ROWS, and the same command goes on. `--show` prints what is there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.ending import exit_code
from raydd.errors import ConfigError

ROWS = ("DM", "IID on DM", "IDM", "IDC factor 2", "UDD response, CFC", "SRe2L, ConvNet", "DWA, ConvNet")
ARCHITECTURES = [
    *("mlp", "lenet", "alexnet", "vgg11", "vgg11-bn", "vgg16-bn"),
    *("resnet18", "resnet18-bn", "resnet34-bn", "resnet50-bn", "resnet101-bn"),
    *("mobilenet_v2", "shufflenet_v2_x0_5", "efficientnet_b0", "densenet121", "vit_small"),
]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("path", metavar="ROWS", type=click.Path(path_type=Path))
@click.option("--data", default="digits", help="A catalog name or a folder.  [default: digits]")
@click.option("--dataset", help="Name of the dataset in the table, for a folder of a catalog's images.")
@click.option(
    "--row", "chosen", multiple=True, help="A row of the table; may be repeated.  [default: one a method]"
)
@click.option("--ipc", default=10, help="Images per class.  [default: 10]")
@click.option(
    "--net", default="convnet", help="Distilled with, by methods without a teacher.  [default: convnet]"
)
@click.option("--architecture", "asked", multiple=True, help="May be repeated.  [default: the papers']")
@click.option("--iterations", type=int, help="Of a distillation.  [default: the table's, 200]")
@click.option("--epochs", type=int, help="Of an evaluation.  [default: the table's, 300]")
@click.option("--repeats", default=1, help="Networks of each architecture.  [default: 1]")
@click.option("--idc-lr-img", type=float, help="lr_img of IDC and UDD.  [default: the published one]")
@click.option(
    "--teacher",
    multiple=True,
    metavar="FAMILY=NET",
    help="Instead of the plan's, such as ConvNet=convnet-w64-bn.",
)
@click.option("--precision", default="fp32", help="fp32 or mixed.  [default: fp32]")
@click.option("--compile/--eager", "compiled", default=False, help="[default: eager]")
@click.option("--minutes", type=float, help="Begin nothing further after so many minutes.")
@click.option(
    "--home", default="raydd-runs/table", help="Assets, banks and sets.  [default: raydd-runs/table]"
)
@click.option("--show", is_flag=True, help="Measure nothing, print the table of what is there as Markdown.")
def command(
    path: Path,
    data: str,
    dataset: str | None,
    chosen: tuple[str, ...],
    ipc: int,
    net: str,
    asked: tuple[str, ...],
    iterations: int | None,
    epochs: int | None,
    repeats: int,
    idc_lr_img: float | None,
    teacher: tuple[str, ...],
    precision: str,
    compiled: bool,
    minutes: float | None,
    home: str,
    show: bool,
) -> None:
    """Append what is missing of the cross-architecture table to ROWS (JSON lines), then print it."""
    from benchmarks.table import plan
    from benchmarks.table.__main__ import teachers
    from benchmarks.table.bench import prepare
    from raydd import files, nets

    if not show:
        known = {row.name: row for row in plan.rows() if row.ipc == ipc}
        missing = [name for name in chosen if name not in known]
        if missing:
            raise ConfigError(
                f"--row: {missing[0]!r} is no row at IPC {ipc} (rows: {', '.join(sorted(known))})"
            )
        for name in asked:
            nets.validate(name)
        changed = {"iterations": iterations, "epochs": epochs, "idc_lr_img": idc_lr_img, "repeats": repeats}
        bench = prepare(data, dataset, net, changed, teachers(teacher), precision, compiled, home)
        rows = [known[name] for name in chosen or ROWS if name in known]
        run(path, bench, rows, asked or ARCHITECTURES, minutes)
    click.echo(markdown(files.read_jsonl(path)))


def run(path: Path, bench: Any, rows: Sequence[Any], asked: Sequence[str], minutes: float | None) -> None:
    """Measure what is missing: a row with all architectures, and then the next one."""
    import time
    from dataclasses import asdict

    from raydd import files
    from raydd.evaluation import REGIMES, evaluate

    done = {
        (record["row"], record["ipc"], record["net"], record["label_regime"])
        for record in files.read_jsonl(path)
        if record["settings"] == dict(bench.settings)
    }
    begun = time.monotonic()
    for row in rows:
        sets: list[Any] = []
        own = bench.net(row)
        for name in dict.fromkeys((own, *asked)):
            for regime in REGIMES if row.family is not None else ("hard",):
                if (row.name, row.ipc, name, regime) in done:
                    continue
                if minutes is not None and time.monotonic() - begun > 60 * minutes:
                    return
                sets = sets or [set_of(bench, row)]
                result = evaluate(
                    sets[0],
                    bench.data,
                    net=name,
                    labels=regime,
                    steps=bench.steps(row),
                    repeats=bench.settings["repeats"],
                    device=str(bench.compute.device),
                    precision=bench.compute.precision,
                    compiled=bench.compute.compiled,
                )
                record = {
                    "settings": bench.settings,
                    "row": row.name,
                    "ipc": row.ipc,
                    "own": own,
                    **asdict(result),
                }
                files.append_jsonl(path, {**record, "computed": bench.compute.facts()})
                click.echo(
                    f"{row.name}, {name}, {regime} labels: {100 * result.mean:.1f} % in {result.seconds:.0f} s",
                    err=True,
                )


def set_of(bench: Any, row: Any) -> Any:
    """The set of a row for seed 0: read, or distilled and written."""
    import hashlib

    from benchmarks.table.distilling import distil
    from raydd.files import canonical_json
    from raydd.storage import DistilledSet

    facts = {name: value for name, value in bench.settings.items() if name not in ("epochs", "repeats")}
    method, context, numbers = bench.numbers(row)
    content = {**facts, "row": row.name, "numbers": numbers.model_dump(mode="json"), **bench.compute.facts()}
    key = hashlib.sha256(canonical_json(content).encode()).hexdigest()[:16]
    path = bench.home / "sets" / f"{key}.safetensors"
    if not path.exists():
        bench.make_assets(row)
        _, final, _ = distil(bench, method, context, numbers, 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        final.save(path)
    return DistilledSet.load(path)


def markdown(records: Sequence[Mapping[str, Any]]) -> str:
    """Tables by setting, IPC, label regime and protocol of training: a column a row of the plan, a line a network."""
    parts = []
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        settings = record["settings"]
        title = (
            f"### {settings['dataset']}, IPC {record['ipc']}, {record['label_regime']} labels, protocol "
            f"{record['protocol']}\n\n{settings['iterations']} iterations, {settings['epochs']} epochs, "
            f"{settings['repeats']} net(s) of each architecture, {settings['precision']}; top-1 % on test of one set "
            "of each method, in brackets points below the network it was distilled with (**bold**)."
        )
        groups.setdefault(title, []).append(record)
    for title, own in groups.items():
        rows = list(dict.fromkeys(record["row"] for record in own))
        found = {(record["row"], record["net"]): record for record in own}
        lines = [f"| | {' | '.join(rows)} |", "|---|" + "---|" * len(rows)]
        lines += [
            f"| {net} | {' | '.join(_cell(found, row, net) for row in rows)} |"
            for net in dict.fromkeys(record["net"] for record in own)
        ]
        parts.append(f"{title}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _cell(found: Mapping[tuple[str, str], Mapping[str, Any]], row: str, net: str) -> str:
    record = found.get((row, net))
    if record is None:
        return ""
    text = f"{100 * record['mean']:.1f}"
    if net == record["own"]:
        return f"**{text}**"
    own = found.get((row, record["own"]))
    return text if own is None else f"{text} ({100 * (own['mean'] - record['mean']):+.1f})"


def main() -> int:
    """Run the command; returns the exit code. After Ctrl-C the same command goes on."""
    return exit_code(lambda: command.main(standalone_mode=False))


if __name__ == "__main__":
    sys.exit(main())
