"""`raydd figure`: the papers' figures from studies."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples(
    "raydd figure dwa-grid first --out grid.pdf",
    "raydd figure accuracy-iteration dm-digits iid-digits",
)


@click.command(epilog=EPILOG)
@click.argument("kind")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--out", metavar="FILE", help="A .png, .svg or .pdf file.  [default: KIND-NAME.png]")
@click.option("--x", metavar="HYPERPARAMETER", help="Of `grid`, `curve` and `pictures`: the one along x.")
@click.option("--y", metavar="HYPERPARAMETER", help="Of `grid`: the one along y.")
@click.option(
    "--replicate", "replicates", type=click.IntRange(min=0), multiple=True, help="Of a grid: only this one."
)
@options.seed
@options.home
def figure(
    kind: str,
    names: tuple[str, ...],
    out: str | None,
    x: str | None,
    y: str | None,
    replicates: tuple[int, ...],
    seed: int | None,
    home: str | None,
) -> None:
    """Draw a figure of KIND from studies; its accuracies on validation data are search estimates.

    \b
    KIND is, for any method:
      grid                over two hyperparameters that `raydd search --grid` has swept, --x and --y
      curve               along one, --x, a line a study
      pictures            distilled images along one, --x
      accuracy-iteration  all trials of one or several studies
      tsne                features of real and synthetic images
      class-distribution  where classes lie, and how well they are separated
      feature-distance    how diverse the images of a class are
    and of one:
      dwa-grid, dwa-lambda-var, iid-ablation, iid-beta, udd-maps, mue-accuracy
    """
    from raydd import files
    from raydd.report import figures
    from raydd.tuning.studies import Study

    figures.find(kind)
    target = files.absolute(out or f"{kind}-{names[0]}.png")
    figures.check_out(target)
    folder = options.home_folder(home)
    studies = [Study.open(folder, name) for name in dict.fromkeys(names)]
    axes = {axis: name for axis, name in (("x", x), ("y", y)) if name is not None}
    choice = figures.Choice(kind, axes, replicates, seed or 0)
    figures.save(figures.draw(kind, studies, choice), target)
    click.echo(f"wrote {target}")
