"""What runs as Ray tasks besides trials: assets, measurements, and the distillations of a confirmation.

Plain module-level functions with plain arguments, so that they can also be called without Ray.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raydd import devices, files, jobs
from raydd.config import StudyConfig
from raydd.distillation import baselines
from raydd.errors import TrialDiverged
from raydd.evaluation import equal_steps, evaluate, protocols
from raydd.jobs import Job
from raydd.registry import AssetSpec
from raydd.storage import DistilledSet
from raydd.training import accuracies
from raydd.tuning.studies import Study

LABEL_RECIPE = (
    "temperature",
    "mixup",
    "cutmix",
    "teacher_mode",
)  # of a set's recipe: how its labels are used

# One study per worker process: the next task finds data and assets again.
_jobs: dict[tuple[str, str, bool], Job] = {}


def open_study_job(folder: Path, fit: str = "train") -> Job:
    """The job of the study in `folder` in a process that is prepared to compute."""
    study = Study(folder)
    key = (str(folder), fit, (folder / "measured.json").exists())
    if key not in _jobs:
        _jobs.clear()
        _jobs[key] = _open(study, fit)
    return _jobs[key]


def _open(study: Study, fit: str) -> Job:
    config = study.config
    devices.prepare_process(config.resources.cpus_per_trial)
    measured_path = study.folder / "measured.json"
    measured = files.read_json(measured_path) if measured_path.exists() else None
    data = jobs.load_of_study(config.data, study.folder, fit)
    return jobs.open_job(config, data, home=study.home, measured=measured)


def make_asset(folder: Path, index: int, fit: str = "train") -> dict[str, Any]:
    """Train or find asset `index` of the study; returns its record (key, sha256 and what was measured)."""
    job = open_study_job(folder, fit)
    spec = job.method.assets(job.context)[index]
    job.assets.get(spec)
    return job.assets.record(spec)


def measure(folder: Path) -> dict[str, float]:
    """What the space depends on, measured with the study's own seed."""
    job = open_study_job(folder)
    seed = Study(folder).config.seed
    return job.method.measure(job.context, job.data, job.assets, seed, job.device)


def prepare_baselines(folder: Path, net: str) -> dict[str, Any]:
    """Train the network that baselines share, or find it, and choose the coresets that the study reports.

    Returns:
        `baselines.json`: `net`, `epochs`, and the `sha256` of the network, and in `rows` the training images that
        each coreset chose (see `raydd.distillation.baselines.select`).
    """
    config = Study(folder).config
    job, spec = open_baselines(folder, net)
    network = job.assets.get(spec)[0]
    names = [name for name in config.confirm.baselines if name in baselines.CORESETS]
    rows = baselines.select(network, job.data, job.context.ipc, names, job.compute) if names else {}
    prepared = {
        "net": net,
        "epochs": spec.recipe["epochs"],
        "sha256": job.assets.record(spec)["sha256"],
        "rows": {name: chosen.tolist() for name, chosen in rows.items()},
    }
    files.write_json(folder / "confirm" / "baselines.json", prepared)
    return prepared


def open_baselines(folder: Path, net: str) -> tuple[Job, AssetSpec]:
    """The study's job on the images that its report learns from, and the network that baselines share there."""
    confirm = Study(folder).config.confirm
    job = open_study_job(folder, confirm.fit)
    return job, baselines.feature_network(net, job.data, confirm.baseline_epochs)


def evaluate_full(folder: Path, net: str, where: Path, prepared: Mapping[str, Any]) -> dict[str, Any]:
    """Test accuracy of the one network that was trained on all training images.

    Args:
        folder: the study's folder.
        net: its architecture.
        where: folder that receives `result.json`.
        prepared: by `prepare_baselines`, so that the network is there.

    Returns:
        `result.json`, as `distil_and_evaluate` gives it.
    """
    begun = time.perf_counter()
    job, spec = open_baselines(folder, net)
    network = job.assets.get(spec)[0]
    where.mkdir(parents=True, exist_ok=True)
    Study(folder).count_test_reading(stage="report", arm="full", seed=spec.seed, nets=[net])
    (accuracy,) = accuracies([network], job.data.test, job.data.normalisation, job.compute)
    train, epochs = job.data.train, prepared["epochs"]
    result = {
        "seed": spec.seed,
        "split": "test",
        "diverged": "",
        "nets": {
            net: {
                "values": [accuracy],
                "mean": accuracy,
                "net_sd": math.nan,
                "protocol": "",
                "epochs": epochs,
                "optimisation_steps": epochs * math.ceil(len(train) / spec.recipe["batch"]),
                "label_regime": "hard",
            }
        },
        "bytes": len(train) * train.channels * train.size**2,  # 8-bit pixels
        "distill_seconds": 0.0,
        "seconds": time.perf_counter() - begun,
    }
    files.write_json(where / "result.json", result)
    return result


def distil_and_evaluate(
    folder: Path,
    arm: Mapping[str, Any],
    seed: int,
    split: str,
    nets: list[str],
    where: Path,
    prepared: Mapping[str, Any] | None = None,
    steps: int | None = None,
) -> dict[str, Any]:
    """One distillation of one arm with a fresh seed, evaluated on `split` by every architecture.

    A distillation that diverges is worth chance: it is a failure of the setting, and must not be left out.
    Where the study's epochs are not `steps` optimisation steps on this set, it is evaluated a second time, for
    as many; where they are, nothing is computed twice. On test data the pixels of a soft-label set are evaluated
    with hard labels too, at the study's epochs.

    Args:
        folder: the study's folder.
        arm: `key`, and `method` with `hyperparameters`, or `baseline`, a set of real images, with `labelled_as`; see
            `raydd.tuning.arms.Arm`.
        seed: seed of the distillation, its initial images and the evaluation's networks.
        split: `val` or `test`; a reading of test is counted before it happens.
        nets: architectures to train.
        where: folder that receives `distilled.safetensors` and, last, `result.json`.
        prepared: what `prepare_baselines` gave; only coresets need it.
        steps: optimisation steps that the winner's networks take, after which arms are compared; None: at the
            study's epochs only.

    Returns:
        `result.json`: per net the accuracies (under `equal_steps` those of the second evaluation, under `hard` those
        with hard labels, if there are any), what a soft-label set takes and rests on, the seconds, and
        `labelled_as` of real images.
    """
    config = Study(folder).config
    begun = time.perf_counter()
    fit = config.confirm.fit if split == "test" else "train"
    job = open_study_job(folder, fit)
    job.check_assets(folder, fit)
    protocol = config.evaluation.protocol or job.method.protocol_for(
        job.context
    )  # the study's, for every arm
    epochs = config.confirm.epochs or config.evaluation.epochs
    recipe = {"protocol": protocol, "net": nets[0], "epochs": epochs}
    if arm["baseline"] is None:
        distilled, diverged = distil(job, arm, seed, recipe)
    else:
        distilled, diverged = real_images(job, arm, seed, prepared, recipe), ""
    soft = distilled.label_kind != "hard"
    where.mkdir(parents=True, exist_ok=True)
    # The teacher stays in the study's assets, where `load` finds it: it may be larger than all sets of a report.
    distilled.save(where / "distilled.safetensors", preview=where / "grid.png", teacher=False)
    seconds = time.perf_counter() - begun

    def judged(last: int | None, labels: str | None = None) -> dict[str, dict[str, Any]]:
        if diverged:
            regime = labels or ("soft" if soft else "hard")
            return {net: chance(job, config, protocol, last, regime) for net in nets}
        if split == "test":
            kind = {} if labels is None else {"labels": labels}
            Study(folder).count_test_reading(
                stage="report", arm=arm["key"], seed=seed, nets=nets, epochs=last, **kind
            )
        return {
            net: evaluate_net(distilled, job, net, config, protocol, seed, split, last, labels)
            for net in nets
        }

    figures = judged(epochs)
    if steps is not None:
        own, images = figures[nets[0]]["epochs"], len(distilled.labels())
        again = equal_steps.other_epochs(protocol, own, images, steps)
        if again is not None:
            for net, second in judged(again).items():
                figures[net]["equal_steps"] = second
    if soft and split == "test" and arm["baseline"] in (None, "random"):
        for net, second in judged(epochs, "hard").items():
            figures[net]["hard"] = second
    result = {
        "seed": seed,
        "split": split,
        "compared_steps": steps,
        "diverged": diverged,
        "nets": figures,
        "bytes": (where / "distilled.safetensors").stat().st_size,
        **(about_labels(distilled) if soft else {}),
        **({} if arm["baseline"] is None else {"labelled_as": dict(arm["labelled_as"])}),
        "distill_seconds": seconds,
        "seconds": time.perf_counter() - begun,
    }
    files.write_json(where / "result.json", result)
    return result


def distil(
    job: Job, arm: Mapping[str, Any], seed: int, recipe: Mapping[str, Any]
) -> tuple[DistilledSet, str]:
    """The arm's distilled set, to be evaluated by `recipe`, and why it diverged if it did; the initial images are
    returned then.
    """
    if arm["method"] != job.method.name:
        job = job.of_method(arm["method"])
    model = jobs.resolve(job.method, job.context, arm["hyperparameters"])
    distiller = job.distiller(arm["hyperparameters"], seed)
    initial, why = jobs.unlabelled(distiller), ""
    try:
        while distiller.progress < 1.0 - 1e-9:
            distiller.step()
    except TrialDiverged as error:
        why = str(error)
    plain = initial if why else jobs.unlabelled(distiller)
    return job.labelled(plain.with_recipe(**recipe), model), why


def real_images(
    job: Job,
    arm: Mapping[str, Any],
    seed: int,
    prepared: Mapping[str, Any] | None,
    recipe: Mapping[str, Any],
) -> DistilledSet:
    """The baseline's set, with the labels that the study's method gives its own with the setting `labelled_as`, and
    evaluated like them by `recipe`.
    """
    baseline = arm["baseline"]
    model = jobs.resolve(job.method, job.context, arm["labelled_as"])
    own = job.recipe(model)
    if baseline == "random":
        images = baselines.random_real(job.data, job.context, own, seed)
    else:
        assert prepared is not None
        facts = {name: prepared[name] for name in ("net", "epochs", "sha256")}
        rows = prepared["rows"][baseline]
        images = baselines.selected_real(baseline, rows, facts, job.data, job.context, own)
    return job.labelled(images.with_recipe(**recipe), model)


def about_labels(distilled: DistilledSet) -> dict[str, Any]:
    """What a reader of a soft-label result has to know: bytes apart, the teacher, and how labels were used."""
    return {
        "image_bytes": distilled.stored_bytes,
        "label_bytes": distilled.label_bytes,
        "teacher_bytes": distilled.teacher_bytes,
        "labels": {name: distilled.label_facts[name] for name in ("kind", "teacher")},
        "recipe": {name: distilled.recipe.get(name) for name in LABEL_RECIPE},
    }


def evaluate_net(
    distilled: DistilledSet,
    job: Job,
    net: str,
    config: StudyConfig,
    protocol: str,
    seed: int,
    split: str,
    epochs: int | None,
    labels: str | None = None,
) -> dict[str, Any]:
    """Accuracies of `confirm.repeats` networks of one architecture, and how they were trained.

    `labels` is `hard` where soft ones are to be left aside; None is what the set has.
    """
    result = evaluate(
        distilled,
        job.data,
        net=net,
        protocol=protocol,
        epochs=epochs,
        repeats=config.confirm.repeats,
        seed=seed,
        split=split,
        device=str(job.device),
        precision=job.compute.precision,
        compiled=job.compute.compiled,
        labels=labels,
    )
    figures = {
        "values": list(result.values),
        "mean": result.mean,
        "net_sd": result.std,
        "protocol": result.protocol,
        "epochs": result.epochs,
        "optimisation_steps": result.optimisation_steps,
        "label_regime": result.label_regime,
    }
    if result.label_regime == "soft":
        figures |= {"temperature": result.temperature, "teacher_accuracy": result.teacher_accuracy}
    return figures


def chance(
    job: Job, config: StudyConfig, protocol: str, epochs: int | None, regime: str = "hard"
) -> dict[str, Any]:
    """What `evaluate_net` gives for a distillation that diverged: nothing is trained, and test is not read."""
    value = 1.0 / job.data.classes
    return {
        "values": [value] * config.confirm.repeats,
        "mean": value,
        "net_sd": 0.0,
        "protocol": protocol,
        "epochs": protocols.get(protocol).epochs if epochs is None else epochs,
        "optimisation_steps": 0,
        "label_regime": regime,
    }
