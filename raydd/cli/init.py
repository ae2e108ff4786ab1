"""`raydd init`: write a commented study.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from raydd import files
from raydd.cli import options
from raydd.errors import ConfigError

if TYPE_CHECKING:
    from raydd.config import StudyConfig
    from raydd.registry import Context

EPILOG = options.examples(
    "raydd init iid --data cifar10 --ipc 10",
    "raydd init dm --data ~/data/photos --image-size 32 --out dm.yaml",
)


@click.command(epilog=EPILOG)
@click.argument("method")
@click.option("--out", default="study.yaml", metavar="FILE", help="File to write.  [default: study.yaml]")
@click.option("--ipc", type=int, help="Synthetic images per class.  [default: 10]")
@options.data
@options.settings
def init(method: str, out: str, settings: tuple[str, ...], **flags: Any) -> None:
    """Write a study.yaml for METHOD: every field explained, published values beside what is searched.

    `raydd search FILE` takes it as it is. Nothing is downloaded, and no file is overwritten.
    """
    target = files.absolute(out)
    if target.exists():
        raise ConfigError(f"--out: {target} exists already; remove it, or name another file")
    if target.suffix not in (".yaml", ".yml"):
        raise ConfigError(
            f"--out: {str(target)!r} must end in .yaml or .yml, so that `raydd search` knows it"
        )
    config = options.study_config(method, flags=flags, settings=settings)

    from raydd import registry
    from raydd.report import study_file
    from raydd.tuning.space import searched

    chosen = registry.get(method)
    config = config.replace(iterations=config.iterations or chosen.iterations)
    context = _context(config, config.iterations or chosen.iterations)
    text = study_file.render(config, chosen, context, searched(chosen, context))
    try:
        files.write_text(target, text)
    except OSError as error:
        raise ConfigError(f"--out: {target} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {target}; start it with `raydd search {target}`")


def _context(config: StudyConfig, iterations: int) -> Context:
    """Facts of the catalog for a dataset with a name, which may not be downloaded yet; a folder is read."""
    from raydd.data import catalog, load_data
    from raydd.registry import Context

    known = {info.name: info for info in catalog()}
    about = known.get(config.data.name) or load_data(config.data)
    return Context(
        dataset=about.name,
        channels=about.channels,
        size=config.data.image_size or about.size,
        classes=about.classes,
        ipc=config.ipc,
        iterations=iterations,
    )
