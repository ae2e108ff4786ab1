"""raydd in Python: the functions that the command line is a thin skin over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd import compiling, devices, evaluation, files, jobs, pretrained, registry, workload
from raydd import config as configuration
from raydd.data import DataSplits, load_data
from raydd.devices import Compute
from raydd.evaluation import Evaluation
from raydd.storage import AssetStore, DistilledSet, assets

if TYPE_CHECKING:
    import torch

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
    hyperparameters: Mapping[str, Any] | None = None,
    device: str = "auto",
    precision: str = "fp32",
    compile: str = "auto",
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
        precision: `fp32`, `mixed` or `bf16`, see `raydd.devices.Compute`.
        compile: `on`, `off`, or `auto`: whether networks are compiled, which `auto` decides by the length of
            the run.
        home: folder whose `assets` are shared with studies, unless `RAYDD_ASSETS` names another folder of assets;
            None is `RAYDD_HOME` or `./raydd-runs`.
        on_step: called after every step with (iteration, the last one's number, loss terms).
        on_message: called with a line about how networks are computed, and about slow work, such as training
            a pool of networks.

    Raises:
        ConfigError, SpaceError, DataError: what was asked for cannot be done; one sentence each.
        TrialDiverged: a loss became infinite or NaN.
    """
    chosen = registry.get(method)
    where = devices.resolve(device)
    devices.prepare_process(devices.threads_alone())
    context = jobs.context_of(chosen, data, ipc=ipc, iterations=iterations, fixed={}, precision=precision)
    context = jobs.context_fixing(chosen, context, hyperparameters or {})
    model = jobs.resolve(chosen, context, {})
    values = model.model_dump()
    pretrained.check(chosen, context, data)
    work = workload.assets(chosen, context, data) + workload.distillation(chosen, context, values)
    compute = _compute(where, precision, compile, work, on_message)
    context = replace(context, compiled=compute.compiled)
    root = assets.root(home or configuration.default_home(), configuration.default_assets())
    store = AssetStore(root, data, compute, banked=False)  # nobody else would read what one run computes
    for spec in chosen.assets(context):
        store.get(spec, on_message)
    distiller = chosen.distiller(model, context, data, store, seed, where)
    iterations = chosen.total_iterations(context, values)
    while distiller.progress < 1.0 - 1e-9:
        losses = distiller.step()
        if on_step is not None:
            on_step(distiller.iteration, iterations, losses)
    return distiller.distilled()


def evaluate(
    distilled: DistilledSet,
    data: DataSplits,
    *,
    net: str = "convnet",
    protocol: str | None = None,
    epochs: int | None = None,
    repeats: int = 5,
    seed: int = 0,
    split: str = "test",
    device: str = "auto",
    precision: str = "fp32",
    compile: str = "auto",
    allow_other_data: bool = False,
    labels: str | None = None,
    temperature: float | None = None,
    teacher_mode: str | None = None,
    on_message: Callable[[str], None] | None = None,
) -> Evaluation:
    """Train `repeats` networks from scratch on a distilled set and test each on one split.

    This is `raydd.evaluation.evaluate`, which explains the arguments, in a process that is prepared to compute:
    all its CPUs are used (`torch.set_num_threads`), and bits depend on that number.

    Args:
        distilled: the set.
        data: the splits it was distilled from.
        net, protocol, epochs, repeats, seed, split, device, allow_other_data, labels, temperature, teacher_mode: see
            `raydd.evaluation.evaluate`.
        precision: `fp32`, or `mixed` or `bf16`, which here both train and test in bfloat16.
        compile: `on`, `off`, or `auto`: whether networks are compiled, which `auto` decides by the length of
            the evaluation.
        on_message: called with a line about how networks are computed.

    Raises:
        ConfigError, DataError, ArtifactError: what was asked for cannot be done; one sentence each.
    """
    where = devices.resolve(device)
    devices.prepare_process(devices.threads_alone())
    own = distilled.recipe
    chosen = own["protocol"] if protocol is None else protocol
    regime = evaluation.label_regime(distilled, labels)
    online = regime == "soft" and distilled.label_kind == "online"
    work = workload.evaluation(
        net,
        data,
        protocol=chosen,
        epochs=own["epochs"] if epochs is None and chosen == own["protocol"] else epochs,
        images=len(distilled.labels()),
        repeats=repeats,
        split=split,
        teacher=distilled.label_facts["teacher"]["net"] if online else None,
    )
    compute = _compute(where, precision, compile, work, on_message)
    return evaluation.evaluate(
        distilled,
        data,
        net=net,
        protocol=protocol,
        epochs=epochs,
        repeats=repeats,
        seed=seed,
        split=split,
        device=device,
        precision=compute.precision,
        compiled=compute.compiled,
        allow_other_data=allow_other_data,
        labels=labels,
        temperature=temperature,
        teacher_mode=teacher_mode,
    )


def _compute(
    device: torch.device, precision: str, setting: str, work: float, on_message: Callable[[str], None] | None
) -> Compute:
    """How a run of `work` GFLOP is computed, said in a line and, where it is slower than it need be, a second."""
    compute = Compute(device, precision)
    compiled, why = compiling.resolve(setting, work, devices.threads_alone(), device.type, precision)
    if on_message is not None:
        on_message(compiling.line(precision, compiled, why))
        caution = compiling.caution(precision, device.type, compiled)
        if caution:
            on_message(caution)
    return replace(compute, compiled=compiled)


def search(config: configuration.StudyConfig, progress: Progress | None = None) -> StudyResult:
    """Run a study from its configuration: search, re-rank, report.

    Raises:
        RayddError: something is wrong with the configuration, the data or the home; nothing has run.
    """
    from raydd import tuning
    from raydd.report.page import write_report

    with progress or tuning.Progress() as display:
        plan = tuning.prepare(config)
        for line in plan.lines():
            display.message(line)
        return tuning.launch(plan, display, write_report)


def resume(
    path: str | Path,
    progress: Progress | None = None,
    *,
    trials: str | int | None = None,
    hours: str | float | None = None,
    gpu_hours: str | float | None = None,
    patience: int | None = None,
    address: str | None = None,
    replicates: int | None = None,
) -> StudyResult:
    """Go on with the study in folder `path` (`<home>/studies/<name>`) where it stopped, or ask it for more.

    Args:
        path: of the study's folder.
        progress: the display.
        trials, hours, gpu_hours, patience, address: what is asked for, as `raydd resume` takes it: a new total, or
            `"+10"` for so many more; None leaves it as it is.
        replicates: runs of every setting of a grid, in all.

    Raises:
        RayddError: there is no study there, it is in use, its data have changed, or less is asked for than there is.
    """
    from raydd import tuning
    from raydd.report.page import write_report

    folder = files.absolute(path)
    study = tuning.Study.open(folder.parents[1], folder.name)
    more = tuning.More(
        trials=trials,
        hours=hours,
        gpu_hours=gpu_hours,
        patience=patience,
        address=address,
        replicates=replicates,
    )
    with progress or tuning.Progress() as display:
        return tuning.resume(study, display, more, write_report)
