"""`raydd search`: from a method's name or a study.yaml to confirmed trials."""

from __future__ import annotations

from typing import Any

import click

from raydd.cli import options

EPILOG = options.examples(
    "raydd search iid --data digits --ipc 10 --trials 16 --iterations 200 --name first",
    "raydd search study.yaml --fix cc_form=sum --range lambda_cc=0.001..0.1 --set confirm.top=3",
)


@click.command(epilog=EPILOG)
@click.argument("method", metavar="METHOD|FILE.yaml")
@click.option("--name", help="Name of the new study.  [default: METHOD-DATA-ipcK, with a number if taken]")
@click.option("--ipc", type=int, help="Synthetic images per class.  [default: 10]")
@click.option("--trials", type=int, help="Number of trials.  [default: 16]")
@click.option("--iterations", type=int, help="Length of a full trial.  [default: the paper's]")
@click.option("--concurrency", type=int, help="Trials at once.  [default: what the resources hold]")
@click.option("--cpus-per-trial", type=int, help="CPUs, and threads, of one trial.  [default: 1]")
@click.option("--gpus-per-trial", type=float, help="Share of a GPU; 0 runs on the CPU.  [default: 0]")
@click.option("--fix", multiple=True, metavar="NAME=VALUE", help="Hold a hyperparameter in all trials.")
@click.option(
    "--range", "range_", multiple=True, metavar="NAME=LOW..HIGH|a,b,c", help="Narrow what is searched."
)
@click.option("--sampler", help="tpe or random.  [default: tpe]")
@click.option("--scheduler", help="asha stops hopeless trials early, none does not.  [default: asha]")
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
@options.home
@options.settings
def search(
    method: str, fix: tuple[str, ...], range_: tuple[str, ...], settings: tuple[str, ...], **flags: Any
) -> None:
    """Search a method's hyperparameters on validation data, then confirm the best ones on test data.

    METHOD is a name from `raydd methods`, or a YAML file as `raydd init` writes it; flags win over the file,
    and --set wins over flags. Everything that can be wrong is found before anything starts. Afterwards
    `raydd ui NAME` opens the study in MLflow.
    """
    config = options.study_config(method, flags=flags, fix=fix, range_=range_, settings=settings)

    from raydd import tuning
    from raydd.cli import output

    with tuning.Progress() as progress:
        plan = tuning.prepare(config)
        for line in plan.lines():
            progress.message(line)
        result = tuning.launch(plan, progress)
    output.finish(result, config.home)
