"""`raydd search`: from a method's name or a study.yaml to confirmed trials."""

from __future__ import annotations

from typing import Any

import click

from raydd.cli import options
from raydd.errors import ConfigError

EPILOG = options.examples(
    "raydd search iid --data digits --ipc 10 --trials 16 --iterations 200 --range lambda_cc=0.001..0.1 --name first",
    "raydd search dwa --data digits --ipc 10 --grid rho=0.005,0.015,0.05 --grid k=1,6,12 --replicates 3",
)


@click.command(epilog=EPILOG)
@click.argument("method", metavar="METHOD|FILE.yaml")
@click.option("--name", help="Name of the new study.  [default: METHOD-DATA-ipcK, with a number if taken]")
@click.option("--ipc", type=int, help="Synthetic images per class.  [default: 10]")
@click.option("--trials", type=int, help="Number of trials.  [default: 16]")
@click.option("--iterations", type=int, help="Length of a full trial.  [default: the paper's]")
@click.option("--concurrency", type=int, help="Trials at once.  [default: what the resources hold]")
@click.option("--cpus-per-trial", type=int, help="CPUs, and threads, of one trial.  [default: 1]")
@click.option(
    "--gpus-per-trial",
    type=options.parse_value,
    metavar="SHARE|auto",
    help="Share of a GPU; 0 runs on the CPU, auto measures what a trial needs.  [default: 0]",
)
@click.option(
    "--address", metavar="HOST:PORT|auto", help="A running Ray cluster.  [default: a Ray on this machine]"
)
@click.option("--fix", multiple=True, metavar="NAME=VALUE", help="Hold a hyperparameter in all trials.")
@click.option(
    "--range", "range_", multiple=True, metavar="NAME=LOW..HIGH|a,b,c", help="Narrow what is searched."
)
@click.option("--sampler", help="tpe, random or grid.  [default: tpe, or grid with --grid]")
@click.option("--grid", multiple=True, metavar="NAME=a,b,c", help="Run every combination of such values.")
@click.option("--replicates", type=int, help="Runs of every combination, each with a seed of its own.")
@click.option("--hours", type=float, help="Wall time of the search, in all its sessions.")
@click.option("--gpu-hours", type=float, help="GPU time of all trials, each times its share of a GPU.")
@click.option("--patience", type=int, help="Trials in a row without a new best one that end the search.")
@click.option(
    "--warm-start",
    metavar="STUDY[,STUDY]",
    help="Begin with the best settings of earlier studies of this method, at most a quarter of the trials.",
)
@click.option(
    "--scheduler", help="asha stops hopeless trials early, none does not.  [default: asha; none with --grid]"
)
@click.option("--net", metavar="NET", help="Network trained on a distilled set.  [default: convnet]")
@click.option("--eval-epochs", type=int, help="Epochs of that training.  [default: the protocol's]")
@click.option("--eval-repeats", type=int, help="Networks for each evaluation.  [default: 2]")
@options.data
@options.seed
@options.device
@options.computed
@click.option(
    "--tracking-uri",
    metavar="URI",
    help="MLflow store.  [env: MLFLOW_TRACKING_URI; default: a sqlite file in the home]",
)
@click.option(
    "--dry-run", is_flag=True, help="Measure a trial, print what the study will take, and start nothing."
)
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: print JSON.")
@options.home
@options.settings
def search(
    method: str,
    fix: tuple[str, ...],
    range_: tuple[str, ...],
    grid: tuple[str, ...],
    settings: tuple[str, ...],
    warm_start: str | None,
    dry_run: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Search a method's hyperparameters on validation data, then confirm the best ones on test data.

    METHOD is a name from `raydd methods`, or a YAML file as `raydd init` writes it; flags win over the file,
    and --set wins over flags. Everything that can be wrong is found before anything starts. Afterwards
    `raydd ui NAME` opens the study in MLflow.
    """
    if as_json and not dry_run:
        raise ConfigError("--json: is allowed with --dry-run only; `raydd show NAME --json` prints a study")
    config = options.study_config(method, flags=flags, fix=fix, range_=range_, grid=grid, settings=settings)

    from raydd import tuning
    from raydd.cli import output
    from raydd.report.page import write_report

    with tuning.Progress(output.beside(as_json)) as progress:
        plan = tuning.prepare(config, progress.message)
        if warm_start is not None:
            plan = tuning.warm_started(plan, options.words(warm_start))
        for line in plan.lines():
            progress.message(line)
        if dry_run:
            output.forecast(tuning.dry_run(plan, progress.message), as_json)
            return
        result = tuning.launch(plan, progress, write_report)
    output.finish(result, config.home)
