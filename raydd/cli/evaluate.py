"""`raydd evaluate`: train networks on a distilled set and measure their accuracy on a split of real data."""

from __future__ import annotations

import functools
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raydd.cli import options
from raydd.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from raydd.config import DataConfig
    from raydd.evaluation import Evaluation
    from raydd.storage import DistilledSet
    from raydd.tuning import Study

EPILOG = options.examples(
    "raydd evaluate digits.safetensors --data digits --net convnet --repeats 5",
    "raydd evaluate digits.safetensors --net convnet,resnet18-w16 --split val --epochs 100 --json",
)


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--net", metavar="A,B", help="Networks to train.  [default: the set's own]")
@click.option("--repeats", type=int, default=5, help="Networks of each kind.  [default: 5]")
@click.option("--epochs", type=int, help="Epochs of that training.  [default: the set's own protocol]")
@click.option(
    "--split", type=click.Choice(["test", "val"]), default="test", help="Images to test on.  [default: test]"
)
@click.option("--protocol", help="Evaluation protocol.  [default: the set's own]")
@options.data
@options.seed
@options.device
@options.computed
@click.option("--allow-other-data", is_flag=True, help="Test on data that the set was not distilled from.")
@options.as_json
def evaluate(
    file: Path,
    net: str | None,
    repeats: int,
    epochs: int | None,
    split: str,
    protocol: str | None,
    seed: int | None,
    device: str | None,
    precision: str | None,
    compile: str | None,
    allow_other_data: bool,
    as_json: bool,
    **data_flags: Any,
) -> None:
    """Train fresh networks on the distilled set in FILE and test them on real images.

    The split is the one that the set was distilled under, so that no test image was seen before. One set
    gives the spread over networks only ("net sd only"); how sure a method's mean is, several distillations
    with other seeds tell, as `raydd search` runs them.
    """
    from raydd import nets
    from raydd.api import evaluate as run
    from raydd.api import load_data
    from raydd.cli import output
    from raydd.storage import DistilledSet

    distilled = DistilledSet.load(file)
    net = str(distilled.recipe["net"]) if net is None else net
    names = [name.strip() for name in net.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"--net: {net!r} names no network")
    for name in names:
        nets.validate(name)
    if epochs is not None and epochs < 1:
        raise ConfigError(f"--epochs: must be at least 1, got {epochs}")
    data = load_data(_data_config(distilled, data_flags), verify=True)
    study = study_of(file) if split == "test" else None
    results = []
    for name in names:
        results.append(
            run(
                distilled,
                data,
                net=name,
                protocol=protocol,
                epochs=epochs,
                repeats=repeats,
                seed=seed or 0,
                split=split,
                device=device or "auto",
                precision=precision or "fp32",
                compile=compile or "auto",
                allow_other_data=allow_other_data,
                on_message=functools.partial(_say, name),
            )
        )
        if study is not None:
            _count(study, file, name)  # before anything is printed: what was seen is always counted
    if as_json:
        output.emit_json([asdict(result) for result in results])
        return
    output.show(_table(file, distilled, results))
    click.echo("one distillation: the spread is over networks only, not over distillations")
    if study is not None:
        click.echo(f"test data were read {study.test_readings()} times in study {study.name}")


def _say(net: str, line: str) -> None:
    click.echo(f"{net}: {line}", err=True)  # stdout is for results


def _data_config(distilled: DistilledSet, flags: dict[str, Any]) -> DataConfig:
    """The data and the split that the set was distilled under, changed by what flags say."""
    from raydd import config
    from raydd.data import names

    about = distilled.manifest["data"]
    if flags["data"] is None and about["name"] not in names():
        raise ConfigError(
            f"--data: the set was distilled from the folder {about['name']!r}; say where it lies"
        )
    values: dict[str, Any] = {"method": distilled.manifest["method"]}
    for field, value in {"name": about["name"], **about["split"]}.items():
        if value is not None:  # a dataset with a test set of its own has no test fraction
            config.set_path(values, f"data.{field}", value)
    for flag, value in flags.items():
        if value is not None:
            config.set_path(values, options.FIELDS[flag], value)
    return config.build(values).data


def study_of(file: Path) -> Study | None:
    """The study in whose folder `file` lies, if it lies in one."""
    from raydd.tuning import Study
    from raydd.tuning.studies import CONFIG_FILE

    for folder in file.expanduser().absolute().parents:
        if folder.parent.name == "studies" and (folder / CONFIG_FILE).exists():
            return Study(folder)
    return None


def _count(study: Study, file: Path, net: str) -> None:
    try:
        where = str(file.expanduser().absolute().relative_to(study.folder))
        study.count_test_reading(stage="evaluate", file=where, net=net)
    except OSError as error:
        raise ArtifactError(
            f"{study.folder / 'test_ledger.jsonl'} cannot be written ({error.strerror}), and a reading of test data "
            "has to be counted there; copy the set out of the study, or use --split val"
        ) from None


def _table(file: Path, distilled: DistilledSet, results: list[Evaluation]) -> Any:
    from rich import box
    from rich.table import Table

    from raydd import wording

    manifest = distilled.manifest
    table = Table(
        title=f"{file.name}: {manifest['method']} on {manifest['data']['name']}, ipc {manifest['ipc']}, "
        f"{manifest['iteration']} iterations, seed {manifest['seed']}",
        title_justify="left",
        box=box.SIMPLE,
    )
    table.add_column("net")
    for title in ("accuracy %", "net sd only", "nets", "epochs", "steps"):
        table.add_column(title, justify="right")
    for title in ("split", "protocol", "labels"):
        table.add_column(title)
    table.add_column("images", justify="right")
    for result in results:
        table.add_row(
            result.net,
            wording.percent(result.mean),
            wording.percent(result.std),
            str(len(result.values)),
            str(result.epochs),
            str(result.optimisation_steps),
            result.split,
            result.protocol,
            result.label_regime,
            wording.size(distilled.stored_bytes),
        )
    return table
