"""raydd in Python: the functions that the command line is a thin skin over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from raydd import config as configuration
from raydd import devices, files, jobs, registry
from raydd.data import DataSplits, load_data
from raydd.evaluation import Evaluation, evaluate
from raydd.storage import AssetStore, DistilledSet

if TYPE_CHECKING:
    from raydd.registry import Scalar
    from raydd.tuning.progress import Progress
    from raydd.tuning.search import StudyResult

__all__ = ["DistilledSet", "Evaluation", "distill", "evaluate", "load_data", "resume", "search"]


def distill(
    method: str,
    data: DataSplits,
    *,
    ipc: int,
    iterations: int | None = None,
    seed: int = 0,
    hyperparameters: Mapping[str, Scalar] | None = None,
    device: str = "auto",
    home: str | Path | None = None,
    on_step: Callable[[int, int, Mapping[str, float]], None] | None = None,
    on_message: Callable[[str], None] | None = None,
) -> DistilledSet:
    """Distil `data.train` into `ipc` images per class, with one setting and without a search.

    All CPUs of this process are used (`torch.set_num_threads`), where a trial of a study uses those that it
    was given; bits, and the key under which a pool of networks is found again, depend on that number.

    Args:
        method: name of an installed method, such as `iid`.
        data: what `raydd.load_data` returned; only its train split is read.
        ipc: synthetic images per class, >= 1.
        iterations: length in the method's unit; None is the paper's.
        seed: of everything random here but the assets, which have their own.
        hyperparameters: overlay the published setting.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        home: folder whose `assets` are shared with studies; None is `RAYDD_HOME` or `./raydd-runs`.
        on_step: called after every step with (iteration, iterations, loss terms).
        on_message: called with a line about slow work, such as training a pool of networks.

    Raises:
        ConfigError, SpaceError, DataError: what was asked for cannot be done; one sentence each.
        TrialDiverged: a loss became infinite or NaN.
    """
    chosen = registry.get(method)
    where = devices.resolve(device)
    devices.prepare_process(devices.available_cpus())
    context = jobs.context_of(chosen, data, ipc=ipc, iterations=iterations, fixed={})
    values = dict(hyperparameters or {})
    model = jobs.resolve(chosen, context, values)
    context = replace(context, fixed={name: getattr(model, name) for name in values})
    root = files.absolute(home or configuration.default_home()) / "assets"
    assets = AssetStore(root, data, where)
    for spec in chosen.assets(context):
        assets.get(spec, on_message)
    distiller = chosen.distiller(model, context, data, assets, seed, where)
    while distiller.progress < 1.0 - 1e-9:
        losses = distiller.step()
        if on_step is not None:
            on_step(distiller.iteration, context.iterations, losses)
    return distiller.distilled()


def search(config: configuration.StudyConfig, progress: Progress | None = None) -> StudyResult:
    """Run a study from its configuration: search, re-rank, report.

    Raises:
        RayddError: something is wrong with the configuration, the data or the home; nothing has run.
    """
    from raydd import tuning

    with progress or tuning.Progress() as display:
        plan = tuning.prepare(config)
        for line in plan.lines():
            display.message(line)
        return tuning.launch(plan, display)


def resume(path: str | Path, progress: Progress | None = None) -> StudyResult:
    """Go on with the study in folder `path` (`<home>/studies/<name>`) where it stopped.

    Raises:
        RayddError: there is no study there, it is in use, or its data have changed.
    """
    from raydd import tuning

    folder = files.absolute(path)
    study = tuning.Study.open(folder.parents[1], folder.name)
    with progress or tuning.Progress() as display:
        return tuning.resume(study, display)
