"""`raydd evaluate`: train networks on a distilled set and measure their accuracy on a split of real data."""

from __future__ import annotations

import functools
from collections.abc import Mapping
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
    "raydd evaluate dwa.safetensors --net resnet18-bn,convnet-bn,vgg11 --labels soft,hard --split val --json",
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
@click.option("--labels", metavar="soft,hard", help="Labels to train on, apart.  [default: what the set has]")
@click.option("--temperature", type=float, help="Temperature of soft labels.  [default: the set's own]")
@click.option(
    "--teacher-mode",
    metavar="eval|train",
    help="How a teacher labels batches; train takes each batch's statistics.  [default: the set's own]",
)
@options.data
@options.seed
@options.device
@options.computed
@options.home
@click.option("--allow-other-data", is_flag=True, help="Test on data that the set was not distilled from.")
@options.as_json
def evaluate(
    file: Path,
    net: str | None,
    repeats: int,
    epochs: int | None,
    split: str,
    protocol: str | None,
    labels: str | None,
    temperature: float | None,
    teacher_mode: str | None,
    seed: int | None,
    device: str | None,
    precision: str | None,
    compile: str | None,
    home: str | None,
    allow_other_data: bool,
    as_json: bool,
    **data_flags: Any,
) -> None:
    """Train fresh networks on the distilled set in FILE and test them on real images.

    The split is the one that the set was distilled under, so that no test image was seen before. One set
    gives the spread over networks only ("net sd only"); how sure a method's mean is, several distillations
    with other seeds tell, as `raydd search` runs them.

    Results with soft labels, which a teacher gave, and with hard labels stand apart: they are no ranking of images.
    A teacher that is not in the file is looked for in the folders above it, then in the home.
    """
    from raydd import nets
    from raydd.api import evaluate as run
    from raydd.api import load_data
    from raydd.storage import DistilledSet
    from raydd.training.recipe import check_temperature

    distilled = DistilledSet.load(file, home=options.home_folder(home))
    net = str(distilled.recipe["net"]) if net is None else net
    names = list(dict.fromkeys(name.strip() for name in net.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"--net: {net!r} names no network")
    for name in names:
        nets.validate(name)
    for flag, count in (("--epochs", epochs), ("--repeats", repeats)):
        if count is not None and count < 1:
            raise ConfigError(f"{flag}: must be at least 1, got {count}")
    if temperature is not None:
        check_temperature(temperature, "--temperature")
    regimes = _regimes(distilled, labels)
    if "soft" not in regimes and (temperature is not None or teacher_mode is not None):
        flag = "--temperature" if temperature is not None else "--teacher-mode"
        raise ConfigError(f"{flag}: hard labels have none; it is for sets with soft labels")
    data = load_data(_data_config(distilled, data_flags), verify=True)
    # A network that does not fit the images is refused before another is trained and test is read.
    for name in names:
        nets.gigaflops(name, channels=data.channels, size=data.size, classes=data.classes)
    study = study_of(file) if split == "test" else None
    results: list[Evaluation] = []
    try:
        for regime in regimes:
            soft = regime == "soft"
            for name in names:
                result = run(
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
                    labels=regime,
                    temperature=temperature if soft else None,
                    teacher_mode=teacher_mode if soft else None,
                    on_message=functools.partial(_say, name if len(regimes) == 1 else f"{name}, {regime}"),
                )
                if study is not None:
                    # Before anything is printed: what was seen is always counted.
                    _count(study, file, name, regime)
                results.append(result)
                _say(name, _finished(result))
    finally:  # what is finished is not lost to Ctrl-C, or to an error in a later network
        if results:
            _print(file, distilled, results, temperature, study, as_json)


def _print(
    file: Path,
    distilled: DistilledSet,
    results: list[Evaluation],
    temperature: float | None,
    study: Study | None,
    as_json: bool,
) -> None:
    """The rows that are finished: as JSON, or as a table for each kind of labels with what has to be known."""
    from raydd.cli import output

    if as_json:
        output.emit_json([_row(distilled, result, results, temperature) for result in results])
        return
    regimes = list(dict.fromkeys(result.label_regime for result in results))
    output.show(*(_table(file, distilled, results, regime, len(regimes) > 1) for regime in regimes))
    for line in _notes(distilled, results, temperature):
        click.echo(line)
    if study is not None:
        click.echo(f"test data were read {study.test_readings()} times in study {study.name}")


def _regimes(distilled: DistilledSet, labels: str | None) -> list[str]:
    """The label regimes that are asked for, soft ones first."""
    from raydd.evaluation import REGIMES, label_regime

    if labels is None:
        return [label_regime(distilled)]
    asked = [part.strip() for part in labels.split(",") if part.strip()]
    if not asked:
        raise ConfigError(f"--labels: {labels!r} names no labels; allowed are {' and '.join(REGIMES)}")
    chosen = {label_regime(distilled, part) for part in asked}
    return [regime for regime in REGIMES if regime in chosen]


def _finished(result: Evaluation) -> str:
    """What is known of an architecture as soon as it is done; the others may take minutes."""
    from raydd import wording

    return (
        f"{result.label_regime} labels, {wording.percent(result.mean)} % on {result.split}, "
        f"{wording.duration(result.seconds)}"
    )


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


def _count(study: Study, file: Path, net: str, regime: str) -> None:
    try:
        where = str(file.expanduser().absolute().relative_to(study.folder))
        study.count_test_reading(stage="evaluate", file=where, net=net, labels=regime)
    except OSError as error:
        raise ArtifactError(
            f"{study.folder / 'test_ledger.jsonl'} cannot be written ({error.strerror}), and a reading of test data "
            "has to be counted there; copy the set out of the study, or use --split val"
        ) from None


def _drop(distilled: DistilledSet, result: Evaluation, results: list[Evaluation]) -> float | None:
    """How far a network lies below the distilling one under the same labels; None where that one was not asked for."""
    for other in results:
        if (other.net, other.label_regime) == (distilled.distilled_with, result.label_regime):
            return other.mean - result.mean
    return None


def _row(
    distilled: DistilledSet, result: Evaluation, results: list[Evaluation], temperature: float | None
) -> dict[str, Any]:
    from raydd.evaluation import carried

    soft = result.label_regime == "soft"
    return {
        **asdict(result),
        "distilled_with": distilled.distilled_with,
        "drop": _drop(distilled, result, results),
        "carried": carried(distilled, result.protocol, result.label_regime, temperature),
        "label_kind": distilled.label_kind if soft else "hard",
        "teacher": distilled.label_facts["teacher"] if soft else None,
        "image_bytes": distilled.stored_bytes,
        "label_bytes": distilled.label_bytes if soft else 0,
        "teacher_bytes": distilled.teacher_bytes if soft else 0,
    }


def _table(
    file: Path, distilled: DistilledSet, results: list[Evaluation], regime: str, one_of_two: bool
) -> Any:
    from rich import box
    from rich.table import Table

    from raydd import wording

    manifest = distilled.manifest
    table = Table(
        title=f"{file.name}: {manifest['method']} on {manifest['data']['name']}, ipc {manifest['ipc']}, "
        f"{_iterations(manifest)}, seed {manifest['seed']}" + (f": {regime} labels" if one_of_two else ""),
        title_justify="left",
        box=box.SIMPLE,
    )
    for title in ("net", "labels"):
        table.add_column(title)
    for title in ("accuracy %", "drop", "net sd only", "nets", "epochs", "steps"):
        table.add_column(title, justify="right")
    for title in ("split", "protocol"):
        table.add_column(title)
    for result in results:
        if result.label_regime == regime:
            table.add_row(
                result.net,
                result.label_regime,
                wording.percent(result.mean),
                wording.percent(_drop(distilled, result, results)),
                wording.percent(result.std),
                str(len(result.values)),
                str(result.epochs),
                str(result.optimisation_steps),
                result.split,
                result.protocol,
            )
    return table


def _iterations(manifest: Mapping[str, Any]) -> str:
    """How many there were, and how many an image had where those are not the same."""
    from raydd import wording

    if "origin" in manifest:
        return f"made elsewhere ({manifest['origin']['format']})"
    done = manifest["iteration"]
    told = wording.recovery(manifest.get("hyperparameters", {}), manifest.get("iterations", done), done)
    return told or f"{done} iterations"


def _notes(distilled: DistilledSet, results: list[Evaluation], temperature: float | None) -> list[str]:
    """What a reader of the table has to know."""
    from raydd import wording

    own = distilled.distilled_with
    lines = ["one distillation: the spread is over networks only, not over distillations"]
    if any(result.net == own for result in results):
        lines.append(f"drop: points below {own}, the network of the distillation, with the same labels")
    else:
        lines.append(
            f"drop: it is the distance to {own}, the network of the distillation; name it in --net too"
        )
    lines += _carried_line(distilled, results, temperature)
    size = int(distilled.manifest["size"])
    larger = {result.net: result.input_side for result in results if (result.input_side or size) > size}
    if larger:
        lines.append(
            f"images of {size} px are enlarged to {max(filter(None, larger.values()))} px by {', '.join(larger)}"
        )
    if "origin" in distilled.manifest:
        lines.append(
            "which images the set was made from is not known: authors' scripts take all but the test images"
        )
    images = wording.size(distilled.stored_bytes)
    soft = [result for result in results if result.label_regime == "soft"]
    if soft:
        lines.append(_teacher_line(distilled, soft[0]))
    elif "teacher" in distilled.manifest:
        facts = distilled.manifest["teacher"]
        told = wording.on_train(facts)
        lines.append(f"the images were recovered from {_trained(facts)}{told and ', ' + told}")
    if _teacher_from_elsewhere(distilled):
        lines.append(wording.seen_elsewhere(own))  # also with hard labels: the images rest on it
    if not soft:
        return [*lines, f"images: {images}"]
    labels, teacher = wording.size(distilled.label_bytes), wording.size(distilled.teacher_bytes)
    lines.append(f"images: {images}, soft labels: {labels}, teacher: {teacher}")
    return lines


def _carried_line(distilled: DistilledSet, results: list[Evaluation], temperature: float | None) -> list[str]:
    """What another protocol than the set's own took from the set; none where nothing was."""
    from raydd.evaluation import carried

    regimes = {result.label_regime for result in results}
    chosen = "soft" if "soft" in regimes else "hard"
    words = {
        "augmentation": "augmentation {}",
        "cutmix": "CutMix {:g}",
        "mixup": "MixUp {:g}",
        "temperature": "temperature {:g}" + (" with soft labels" if len(regimes) > 1 else ""),
    }
    taken = carried(distilled, results[0].protocol, chosen, temperature)
    parts = ", ".join(words[name].format(value) for name, value in taken.items())
    return [f"trained with the set's {parts}"] if parts else []


def _teacher_from_elsewhere(distilled: DistilledSet) -> bool:
    """Whether the weights of the network that gave the images or their labels were trained elsewhere."""
    if distilled.label_kind != "hard":
        return bool(distilled.label_facts["teacher"]["pretrained"])
    return bool(distilled.manifest.get("hyperparameters", {}).get("teacher_weights"))


def _teacher_line(distilled: DistilledSet, result: Evaluation) -> str:
    """Who gave the labels, what it is worth on the split, and how they were used."""
    from raydd import wording

    facts = distilled.label_facts["teacher"]
    told = wording.on_train(facts)
    worth = f"not here ({told})" if told else "not here, so that its accuracy is unknown"
    if result.teacher_accuracy is not None:
        worth = f"{wording.percent(result.teacher_accuracy)} % on {result.split}"
    way = {
        "online": f"labels every batch in {result.teacher_mode} mode",
        "stored": "labelled the batches of one training beforehand",
        "image": "labelled the plain images beforehand",
    }[distilled.label_kind]
    return f"teacher: {_trained(facts)}, {worth}; {way}, temperature {result.temperature:g}"


def _trained(facts: Mapping[str, Any]) -> str:
    trained = "pretrained weights" if facts["pretrained"] else f"{facts['epochs']} epochs"
    return f"{facts['net']} ({trained})"
