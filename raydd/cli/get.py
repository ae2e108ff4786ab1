"""`raydd get`: a distilled set from the tracking server, wherever one is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from raydd import files
from raydd.cli import options
from raydd.errors import ConfigError

if TYPE_CHECKING:
    from raydd.tuning.fetching import Fetched

EPILOG = options.examples(
    "raydd get first/winner --tracking-uri http://server:5000",
    "raydd get first/best --out best.safetensors",
)


@click.command(epilog=EPILOG)
@click.argument("address", metavar="NAME/TRIAL")
@click.option(
    "--tracking-uri", metavar="URI", help="The store.  [env: MLFLOW_TRACKING_URI; default: the home's own]"
)
@click.option("--out", metavar="FILE", help="File to write.  [default: NAME-TRIAL.safetensors here]")
@click.option("--force", is_flag=True, help="Overwrite the file, and the .png beside it, if they exist.")
@click.option("--study-id", metavar="ID", help="Which of several studies of that name.")
@click.option("--unchecked", is_flag=True, help="Take a set whose sha256 nobody wrote down.")
@options.home
@options.as_json
def get(
    address: str,
    tracking_uri: str | None,
    out: str | None,
    force: bool,
    study_id: str | None,
    unchecked: bool,
    home: str | None,
    as_json: bool,
) -> None:
    """Fetch the distilled set of a trial; its study's folder is not needed.

    NAME/winner is the confirmed set, NAME/best that of the best search estimate, NAME/3 that of trial 3. The file is
    compared with the sha256 that was written down when it was uploaded.
    """
    from raydd.cli import output
    from raydd.tuning import fetching, store_uri

    target = files.absolute(out or f"{address.replace('/', '-')}.safetensors")
    if target.suffix != ".safetensors":
        raise ConfigError(f"--out: {out!r} must end in .safetensors")
    preview = target.with_suffix(".png")
    for file in (target, preview):
        if file.exists() and not force:
            raise ConfigError(
                f"--out: {file} exists already; name another file, or overwrite it with --force"
            )
    uri = store_uri.chosen(tracking_uri, options.home_folder(home))
    found = fetching.fetch(uri, address, study_id=study_id, unchecked=unchecked)
    files.write_bytes(target, found.content)
    from raydd.storage.preview import png

    files.write_bytes(preview, png(found.distilled.grid()))
    if as_json:
        output.emit_json(_row(found, target))
        return
    for line in _lines(found, target):
        click.echo(line)


def _row(found: Fetched, target: Path) -> dict[str, object]:
    facts = {name: value for name, value in vars(found).items() if name not in ("distilled", "content")}
    return {**facts, "file": str(target), "hyperparameters": found.distilled.manifest["hyperparameters"]}


def _lines(found: Fetched, target: Path) -> list[str]:
    from raydd import wording

    about = found.distilled.manifest
    checked = (
        f"sha256 {found.sha256[:12]}, as it was uploaded"
        if found.checked
        else f"sha256 {found.sha256[:12]}, unchecked"
    )
    what = f"trial {found.trial}" if not found.winner else f"the winner, trial {found.trial} distilled anew"
    lines = [
        f"wrote {target}: {len(found.distilled.targets)} images of {found.distilled.classes} classes ({checked})",
        f"{found.study}: {what}; {about['method']} on {about['data'].get('name', 'unknown data')}, ipc {about['ipc']}",
        f"made by {found.user}, {found.time}",
        f"hyperparameters: {wording.hyperparameters(about['hyperparameters'])}",
        *_accuracy(found),
    ]
    if found.distilled.label_kind == "online" and found.distilled.teacher is None:
        lines.append(
            "its teacher is not in the file: evaluate it beside the study's assets, or with hard labels"
        )
    return lines


def _accuracy(found: Fetched) -> list[str]:
    """The confirmed result where it is this setting's, and what an estimate is."""
    from raydd import wording

    sure = found.confirmed
    told = ""
    if sure is not None:
        interval = f"[{wording.percent(sure.get('low'))}, {wording.percent(sure.get('high'))}]"
        told = f"{wording.percent(sure.get('test_accuracy'))} % {interval} on test data, 95 % interval over fresh seeds"
    if sure is not None and (found.winner or found.trial == found.confirmed_trial):
        own = "" if found.winner else "; this file is the search's own distillation of that setting"
        return [f"confirmed: {told}{own}"]
    lines = [
        f"search estimate: {wording.percent(found.estimate)} % on validation data, one of many and therefore too high; "
        "not confirmed"
    ]
    if told:
        lines.append(
            f"the confirmed winner is trial {found.confirmed_trial}: {told} (raydd get {found.study}/winner)"
        )
    return lines
