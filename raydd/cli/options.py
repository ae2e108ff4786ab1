"""Flags that several verbs share, and how a YAML file and flags become one `StudyConfig`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from raydd import files
from raydd.errors import ConfigError

if TYPE_CHECKING:
    from raydd.config import StudyConfig

Verb = TypeVar("Verb", bound=Callable[..., Any])

# Which field of the configuration a flag sets; a flag that was not given leaves the field alone.
FIELDS = {
    "name": "name",
    "ipc": "ipc",
    "iterations": "iterations",
    "seed": "seed",
    "home": "home",
    "precision": "precision",
    "compile": "compile",
    "data": "data.name",
    "data_root": "data.root",
    "image_size": "data.image_size",
    "val_fraction": "data.val_fraction",
    "split_seed": "data.split_seed",
    "trials": "search.trials",
    "sampler": "search.sampler",
    "scheduler": "search.scheduler",
    "replicates": "search.replicates",
    "concurrency": "search.concurrency",
    "net": "evaluation.net",
    "device": "evaluation.device",
    "eval_epochs": "evaluation.epochs",
    "eval_repeats": "evaluation.repeats",
    "cpus_per_trial": "resources.cpus_per_trial",
    "gpus_per_trial": "resources.gpus_per_trial",
    "address": "resources.address",
    "tracking_uri": "tracking.uri",
    "hours": "budget.hours",
    "gpu_hours": "budget.gpu_hours",
    "patience": "budget.patience",
}

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def _stack(*decorators: Callable[[Any], Any]) -> Callable[[Verb], Verb]:
    """Apply click decorators so that `--help` lists them in the order written."""
    return lambda verb: reduce(lambda inner, decorate: decorate(inner), reversed(decorators), verb)


home = click.option(
    "--home", metavar="FOLDER", help="Folder of all studies.  [env: RAYDD_HOME; default: ./raydd-runs]"
)
seed = click.option("--seed", type=int, help="Seed of everything that is drawn.  [default: 0]")
device = click.option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.  [default: auto]")
computed = _stack(
    click.option(
        "--precision",
        metavar="NAME",
        help="fp32, mixed (bfloat16 where no image gradient flows) or bf16.  [default: fp32]",
    ),
    click.option(
        "--compile",
        metavar="auto|on|off",
        help="Compile the networks; auto does where it pays.  [default: auto]",
    ),
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
settings = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="A.B=C",
    help="Any field of the configuration, such as confirm.top=3; may be repeated.",
)
split = _stack(
    click.option(
        "--data-root",
        metavar="FOLDER",
        help="Where datasets are downloaded to.  [env: RAYDD_DATA; default: ~/.cache/raydd/data]",
    ),
    click.option("--image-size", type=int, help="Side in pixels that images are resized to."),
    click.option("--val-fraction", type=float, help="Share of the non-test images kept for validation."),
    click.option("--split-seed", type=int, help="Seed of the splits.  [default: 0]"),
)
data = _stack(
    click.option(
        "--data", metavar="NAME|FOLDER", help="A name (`raydd datasets`) or a folder.  [default: digits]"
    ),
    split,
)


def parse_value(text: str) -> Any:
    """A flag's text as a plain value: number, `true`/`false`, `null`, a `[list]` or `{mapping}`, else the text.

    YAML alone would read `1e-3` as text and `12:30` as 750, so only lists and mappings are left to it.
    """
    text = text.strip()
    words = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    if re.fullmatch(r"[-+]?\d+", text):
        return int(text)
    if NUMBER.fullmatch(text):
        return float(text)
    if text.startswith(("[", "{")):
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError:
            return text
    return text


def pairs(option: str, texts: Sequence[str], problems: list[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as a dict of texts; what is not of that form, or named before, is added to `problems`."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            problems.append(f"{option}: {text!r} is not NAME=VALUE")
        elif name.strip() in found:
            problems.append(f"{option}: {name.strip()} is given twice")
        else:
            found[name.strip()] = value.strip()
    return found


def hyperparameters(texts: Sequence[str]) -> dict[str, Any]:
    """The values of `--hp NAME=VALUE`.

    Raises:
        ConfigError: every text that is not of that form, or whose name was given before.
    """
    problems: list[str] = []
    found = {name: parse_value(text) for name, text in pairs("--hp", texts, problems).items()}
    if problems:
        raise ConfigError(problems)
    return found


def words(text: str) -> list[str]:
    """The parts of `a,b`, without empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


def is_file_name(source: str) -> bool:
    """Whether `search`'s argument names a YAML file rather than a method."""
    return source.endswith((".yaml", ".yml")) or os.sep in source


def _extend(values: dict[str, Any], field: str, more: Mapping[str, Any]) -> None:
    """Add `more` to the mapping `search.<field>` of the file, if there is anything to add."""
    search = values.get("search")
    old = search.get(field) if isinstance(search, dict) else None
    if more:
        from raydd import config

        config.set_path(values, f"search.{field}", {**(old if isinstance(old, dict) else {}), **more})


def study_config(
    source: str,
    *,
    flags: Mapping[str, Any],
    fix: Sequence[str] = (),
    range_: Sequence[str] = (),
    grid: Sequence[str] = (),
    settings: Sequence[str] = (),
    fix_option: str = "--fix",
) -> StudyConfig:
    """One configuration from a method's name or a YAML file, overridden by flags, overridden by `--set`.

    Args:
        source: a method's name, or a path to a YAML file.
        flags: values by flag name, as in `FIELDS`; None means not given.
        fix, range_, grid, settings: texts of `--fix`, `--range`, `--grid` and `--set`.
        fix_option: what `fix` is called on this verb's command line.

    Raises:
        ConfigError: every problem of the file and of the flags, one line each.
    """
    from raydd import config

    values = config.read_yaml(Path(source)) if is_file_name(source) else {"method": source}
    # `search:` with nothing below it is None in YAML; a field without a value keeps its default.
    values = {name: value for name, value in values.items() if value is not None}
    problems: list[str] = []
    for flag, value in flags.items():
        if value is not None:
            config.set_path(values, FIELDS[flag], value)
    fixed = {name: parse_value(text) for name, text in pairs(fix_option, fix, problems).items()}
    _extend(values, "fix", fixed)
    _extend(values, "range", pairs("--range", range_, problems))
    combined = pairs("--grid", grid, problems)
    _extend(
        values, "grid", {name: [parse_value(part) for part in words(text)] for name, text in combined.items()}
    )
    for path, text in pairs("--set", settings, problems).items():
        config.set_path(values, path, parse_value(text))
    try:
        study = config.build(values)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    return study


def home_folder(home: str | None) -> str:
    """The folder of all studies as the flag, else the environment, else the default has it; absolute."""
    from raydd import config

    return str(files.absolute(home or config.default_home()))


def examples(*lines: str) -> str:
    """An epilog of copy-paste examples, which click must not refill."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
