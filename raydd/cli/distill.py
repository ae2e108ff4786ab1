"""`raydd distill`: one distilled set with given hyperparameters, without a search."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raydd import files
from raydd.cli import options
from raydd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydd.registry import Context, Method
    from raydd.storage import DistilledSet

EPILOG = options.examples(
    "raydd distill iid --data digits --ipc 10 --iterations 200 --hp lambda_cc=0.05 --out digits.safetensors",
    "raydd distill dm --data ~/data/cifar10-jpeg --ipc 1 --seed 3 --out dm.safetensors",
)
PLAIN_LINES = 10  # progress lines of a whole run where there is no terminal


@click.command(epilog=EPILOG)
@click.argument("method")
@click.option("--out", required=True, metavar="FILE", help="File to write, NAME.safetensors.")
@click.option("--force", is_flag=True, help="Overwrite --out if it exists.")
@click.option("--ipc", type=int, help="Synthetic images per class.  [default: 10]")
@click.option("--iterations", type=int, help="Length of the run.  [default: the paper's]")
@click.option("--hp", multiple=True, metavar="NAME=VALUE", help="A hyperparameter; may be repeated.")
@options.data
@options.seed
@options.device
@options.computed
@options.home
@options.settings
def distill(
    method: str, out: str, force: bool, hp: tuple[str, ...], settings: tuple[str, ...], **flags: Any
) -> None:
    """Distil one set with METHOD's published setting, changed by --hp, and save it with a preview picture."""
    target = _target(out, force)
    config = options.study_config(method, flags=flags, fix=hp, settings=settings, fix_option="--hp")

    import raydd
    from raydd import jobs, pretrained, registry, wording

    chosen = registry.get(method)  # a wrong name is said before data are loaded
    data = raydd.load_data(config.data, verify=True)
    context = jobs.context_of(chosen, data, ipc=config.ipc, iterations=config.iterations, fixed={})
    context = jobs.context_fixing(chosen, context, config.search.fix)
    pretrained.check(chosen, context, data)
    for spec in chosen.assets(context):
        if spec.weights:
            click.echo(wording.seen_elsewhere(spec.net))
    for said in _length(chosen, context, config.iterations):
        click.echo(said)
    line = _Line()
    distilled = raydd.distill(
        method,
        data,
        ipc=config.ipc,
        iterations=config.iterations,
        seed=config.seed,
        hyperparameters=config.search.fix,
        device=config.evaluation.device,
        precision=config.precision,
        compile=config.compile,
        home=config.home,
        on_step=line.step,
        on_message=click.echo,
    )
    line.end()
    distilled.save(target)
    click.echo(
        f"wrote {target}: {len(distilled.targets)} images of {distilled.classes} classes, "
        f"{wording.size(target.stat().st_size)}; preview {target.with_suffix('.png')}"
    )
    if distilled.label_kind != "hard":
        click.echo(_labels(distilled))
    click.echo(f"measure it: raydd evaluate {target} --data {flags['data'] or config.data.name}")


def _length(method: Method, context: Context, asked: int | None) -> Iterator[str]:
    """How many iterations an image gets where that is not the number of all, and what `--iterations` is replaced by."""
    from raydd import wording

    values = method.defaults(context).model_dump()
    told = wording.recovery(values, context.iterations, method.total_iterations(context, values))
    if told is None:
        return
    own = context.fixed.get("recover_iterations")
    if own is not None and asked not in (None, own):
        yield f"recover_iterations={own} replaces --iterations {asked}"
    yield told


def _labels(distilled: DistilledSet) -> str:
    """What soft labels come from, and what the file holds of it."""
    from raydd import wording

    facts = distilled.label_facts["teacher"]
    trained = "pretrained weights" if facts["pretrained"] else f"{facts['epochs']} epochs"
    held = f"images {wording.size(distilled.stored_bytes)}, soft labels {wording.size(distilled.label_bytes)}"
    worth = wording.on_train(facts)
    trained = f"{trained}, {worth}" if worth else trained
    return (
        f"{distilled.label_kind} soft labels of {facts['net']} ({trained}); in the file: {held}, "
        f"teacher {wording.size(distilled.teacher_bytes)}"
    )


def _target(out: str, force: bool) -> Path:
    """The file to write, refused now rather than after hours of work."""
    target = files.absolute(out)
    if target.suffix != ".safetensors":
        raise ConfigError(f"--out: {out!r} must end in .safetensors")
    for path in (target, target.with_suffix(".png")):
        if path.exists() and not force:
            raise ConfigError(
                f"--out: {path} exists already; name another file, or overwrite it with --force"
            )
    parent = target.parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigError(f"--out: {parent} cannot be written")
    return target


class _Line:
    """One line that moves on a terminal, ten plain lines elsewhere."""

    def __init__(self) -> None:
        self.moves = os.isatty(1)
        self.printed = 0

    def step(self, iteration: int, iterations: int, losses: Mapping[str, float]) -> None:
        """Show one step's losses, if it is time to."""
        due = PLAIN_LINES * iteration // iterations > PLAIN_LINES * self.printed // iterations
        if not self.moves and not due:
            return
        self.printed = iteration
        terms = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        text = f"{iteration}/{iterations}  {terms}"
        click.echo(f"\r\033[K{text}" if self.moves else text, nl=not self.moves)

    def end(self) -> None:
        """Leave the moving line."""
        if self.moves and self.printed:
            click.echo()
