"""`raydd figure`: the papers' figures from studies."""

from __future__ import annotations

import click

from raydd.cli import options

EPILOG = options.examples(
    "raydd figure dwa-grid first --out grid.pdf",
    "raydd figure grid first --x lambda_cc --y lambda_cm",
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
    """Draw a figure of KIND from studies.

    Of any method: grid, curve, pictures (along hyperparameters that `raydd search --grid` has swept),
    accuracy-iteration, tsne, class-distribution, feature-distance. Of DWA: dwa-grid, dwa-lambda-var. Of IID:
    iid-ablation, iid-beta. Of UDD: udd-maps, mue-accuracy. Accuracies are search estimates.
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
