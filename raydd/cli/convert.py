"""`raydd convert`: distilled sets from and to the formats of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raydd import files
from raydd.cli import options
from raydd.errors import ConfigError

if TYPE_CHECKING:
    from raydd.storage import DistilledSet
    from raydd.storage.formats import Content

EPILOG = options.examples(
    "raydd convert results/data.pt idc.safetensors --data cifar10 --factor 2 --decode multi",
    "raydd convert best.safetensors published/ --to hf --decoded",
)


@click.command(epilog=EPILOG)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "to",
    metavar="FORMAT",
    help="folder, npz, dc, idc, ddranking, hf or raydd.  [default: OUT's suffix]",
)
@click.option(
    "--from", "from_", metavar="FORMAT", help="What IN is, where its name and content leave it open."
)
@click.option("--decoded", is_flag=True, help="Write the images as they are trained on: cut up and enlarged.")
@click.option("--hard-labels", is_flag=True, help="Leave soft labels out.")
@click.option("--force", is_flag=True, help="Overwrite the file OUT if it exists.")
@click.option("--method", metavar="NAME", help="What a foreign set was made with.  [default: its format]")
@click.option("--net", metavar="NAME", help="Network that a foreign set was made with.  [default: convnet]")
@click.option(
    "--protocol", metavar="NAME", help="How a foreign set is evaluated.  [default: dsa; idc of format idc]"
)
@click.option(
    "--factor", type=int, default=1, help="Cells along each side of a foreign set's images.  [default: 1]"
)
@click.option("--decode", metavar="FORM", help="How they are cut: single, multi or bound.  [default: single]")
@click.option("--experiment", type=int, help="Which set of a dc file, from 0.  [default: the last]")
@click.option("--data", metavar="NAME|FOLDER", help="What a foreign set was made from: a name or a folder.")
@options.split
def convert(
    source: Path,
    out: Path,
    to: str | None,
    from_: str | None,
    decoded: bool,
    hard_labels: bool,
    force: bool,
    experiment: int | None,
    **flags: Any,
) -> None:
    """Write the distilled set IN as OUT, in another format.

    A set of raydd becomes a file or folder that is used without raydd. A set of others becomes one of raydd, which
    `raydd evaluate` evaluates: --data names the data that it was made from, for the split, the classes and the
    normalisation that the file lacks. Files of torch.save are read without running anything in them.
    """
    from raydd.storage import convert as converting
    from raydd.storage import formats

    source, out = files.absolute(source), files.absolute(out)
    target = to or formats.of_output(out)
    if target != formats.OWN:
        formats.get(target, "--to")
    _check_target(out, target, force)
    kind = from_ or formats.of_input(source)
    if kind != formats.OWN:
        formats.get(kind, "--from")
    found = converting.read(source, kind, channels=_channels(flags), experiment=experiment)
    distilled, notes = _distilled(found, source, kind, flags)
    if target == formats.OWN:
        if hard_labels and distilled.label_kind != "hard":
            raise ConfigError(
                "--hard-labels: raydd evaluate --labels hard leaves them out; the file keeps them"
            )
        (distilled.decoded() if decoded else distilled).save(out)
    else:
        distilled, more = converting.outgoing(
            _with_result(distilled, source), target, decoded=decoded, hard_labels=hard_labels
        )
        notes += more + formats.get(target, "--to").write(distilled, out)
    count = len(distilled.labels() if decoded else distilled.targets)
    click.echo(
        f"wrote {out} ({target}): {count} images of {distilled.classes} classes, from {source.name} ({kind})"
    )
    for note in notes:
        click.echo(f"- {note}")
    if target == formats.OWN and kind != formats.OWN:
        data = flags["data"] or distilled.manifest["data"]["name"]
        click.echo(f"measure it: raydd evaluate {out} --data {data}")


def _check_target(out: Path, target: str, force: bool) -> None:
    """Refuse to overwrite, before anything is read."""
    from raydd.storage import formats

    if target == formats.OWN and out.suffix != ".safetensors":
        raise ConfigError(f"OUT: {out.name!r} must end in .safetensors for format raydd")
    if target != formats.OWN and formats.get(target, "--to").is_folder:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(f"OUT: {out} exists already; name a folder that does not")
    elif out.is_dir():
        raise ConfigError(f"OUT: {out} is a folder, and format {target} is a file")
    for path in (out, out.with_suffix(".png")) if target == formats.OWN else (out,):  # its preview
        if path.is_file() and not force:
            raise ConfigError(f"OUT: {path} exists already; name another file, or overwrite it with --force")


def _data(flags: dict[str, Any]) -> Any:
    """The data named by flags, which is a must here: a wrong default would give wrong numbers."""
    from raydd import config
    from raydd.api import load_data

    values: dict[str, Any] = {"method": "convert"}
    for flag, field in options.FIELDS.items():
        if field.startswith("data.") and flags.get(flag) is not None:
            config.set_path(values, field, flags[flag])
    return load_data(config.build(values).data, verify=True)


def _channels(flags: dict[str, Any]) -> int | None:
    return None if flags["data"] is None else int(_data(flags).channels)


def _distilled(
    found: Content | DistilledSet, source: Path, kind: str, flags: dict[str, Any]
) -> tuple[DistilledSet, list[str]]:
    """The set that was found, with what only flags tell."""
    from raydd import nets
    from raydd.evaluation import protocols
    from raydd.storage import DistilledSet
    from raydd.storage import convert as converting

    given = [name for name in ("method", "net", "protocol", "decode") if flags[name] is not None]
    given += ["factor"] if flags["factor"] != 1 else []
    own = None
    if isinstance(found, DistilledSet):
        own = found
    elif found.manifest is not None and flags["data"] is None:
        own = converting.restored(found)
    if own is not None:
        if given:
            raise ConfigError(f"--{given[0]}: the set says itself what it is; the flag is for sets of others")
        return own, []
    assert not isinstance(found, DistilledSet)
    if flags["data"] is None:
        raise ConfigError(
            f"--data: {source.name} does not say what it was made from; name the data (`raydd datasets`, or a folder)"
        )
    net, protocol = flags["net"] or "convnet", flags["protocol"] or ("idc" if kind == "idc" else "dsa")
    nets.validate(net)
    protocols.get(protocol)
    data = _data(flags)
    recipe = converting.Recipe(
        method=flags["method"] or kind,
        net=net,
        protocol=protocol,
        augmentation=protocols.augmentation(protocol, data.augmentation),
        decode=converting.cells(flags["factor"], flags["decode"] or "single"),
    )
    return converting.adopted(found, data, recipe, converting.origin_of(source, kind))


def _with_result(distilled: DistilledSet, source: Path) -> DistilledSet:
    """The set with its confirmed accuracy, where `source` is the confirmed set of a study."""
    from dataclasses import replace

    from raydd.cli.evaluate import study_of
    from raydd.tuning.summary import headline

    study = study_of(source)
    report = None if study is None else study.report()
    if study is None or report is None or source != study.folder / "distilled.safetensors":
        return distilled
    return replace(distilled, manifest={**distilled.manifest, "confirmed": headline(report)})
