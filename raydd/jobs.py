"""From a configuration to a distiller that is ready to run: the way that every trial, confirmation and plain
`raydd.distill` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pydantic

from raydd import devices, files, registry
from raydd.data import DataSplits, load_data
from raydd.devices import Compute
from raydd.errors import ArtifactError, ConfigError, DataError, SpaceError, unknown
from raydd.registry import Context, Distiller, Method, Scalar
from raydd.storage import AssetStore, assets

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from pydantic import BaseModel

    from raydd.config import DataConfig, StudyConfig
    from raydd.storage import DistilledSet


@dataclass(frozen=True)
class Job:
    """A method on a dataset, with everything but hyperparameters and seed decided."""

    method: Method
    data: DataSplits
    context: Context
    assets: AssetStore
    compute: Compute

    @property
    def device(self) -> torch.device:
        """Where networks are computed."""
        return self.compute.device

    def distiller(self, values: Mapping[str, Scalar], seed: int) -> Distiller:
        """A distiller at iteration 0; `values` overlay the defaults (see `resolve`)."""
        model = resolve(self.method, self.context, values)
        return self.method.distiller(model, self.context, self.data, self.assets, seed, self.device)

    def labelled(self, distilled: DistilledSet, hyperparameters: BaseModel) -> DistilledSet:
        """The set with the labels that the method gives its own; hard-label methods leave it as it is."""
        return self.method.labelled(
            distilled, hyperparameters, self.context, self.data, self.assets, self.device
        )

    def recipe(self, hyperparameters: BaseModel) -> dict[str, Any]:
        """Evaluation recipe of the method's sets."""
        return self.method.recipe(hyperparameters, self.context, self.data, self.assets, self.device)

    def check_assets(self, folder: Path, fit: str = "train") -> None:
        """Refuse to go on with other networks than those that the study in `folder` began with; one that is gone is
        trained again first.

        Nothing is done before they are written down.

        Args:
            folder: of the study.
            fit: what they were trained on, see `assets_file`.

        Raises:
            ArtifactError: which network is another one now.
        """
        path = assets_file(folder, fit)
        known = files.read_json(path) if path.exists() else []
        for spec, begun in zip(self.method.assets(self.context), known):
            if self.assets.find(spec) is None:
                self.assets.get(spec)
            now, then = self.assets.record(spec)["sha256"], begun["sha256"]
            if now != then:
                source = f", weights {spec.weights}," if spec.weights else ""
                raise ArtifactError(
                    f"the {spec.kind} {spec.net}{source} has the sha256 {now[:12]}, and the study began with "
                    f"{then[:12]}; bring the old one back, or start a new study"
                )

    def of_method(self, name: str) -> Job:
        """The same job for another method, keeping those fixed values that the other method has."""
        method = registry.get(name)
        return replace(self, method=method, context=context_for(method, self.context))


def assets_file(folder: Path, fit: str = "train") -> Path:
    """Where the study in `folder` keeps the records of its assets that were trained on `train`, or on `train+val`."""
    return folder / "assets.json" if fit == "train" else folder / "confirm" / "assets.json"


def unlabelled(distiller: Distiller) -> DistilledSet:
    """A distiller's set, without its teacher's labels where it can be had so; see `Job.labelled`."""
    plain: Callable[[], DistilledSet] = getattr(distiller, "unlabelled", distiller.distilled)
    return plain()


def context_for(method: Method, context: Context) -> Context:
    """The context of another method's study for `method`: those fixed values that it has, and nothing measured."""
    fixed = {
        name: value for name, value in context.fixed.items() if name in method.hyperparameters.model_fields
    }
    return replace(context, fixed=fixed, measured={})


def context_of(
    method: Method,
    data: DataSplits,
    *,
    ipc: int,
    iterations: int | None,
    fixed: Mapping[str, Any],
    precision: str = "fp32",
    compiled: bool = False,
) -> Context:
    """The context of `method` on `data`.

    Raises:
        ConfigError: `ipc` or `iterations` is below 1.
        DataError: a class has fewer training images than `ipc`.
    """
    if ipc < 1 or (iterations is not None and iterations < 1):
        raise ConfigError(f"ipc and iterations must be at least 1, got ipc={ipc}, iterations={iterations}")
    counts = [data.train.count(class_) for class_ in range(data.classes)]
    fewest = min(range(data.classes), key=counts.__getitem__)
    if counts[fewest] < ipc:
        raise DataError(
            f"ipc: {ipc} images per class are asked for, but class {data.class_names[fewest]!r} of {data.name} "
            f"has {counts[fewest]} training images; at most {counts[fewest]} is allowed"
        )
    return Context(
        dataset=data.name,
        channels=data.channels,
        size=data.size,
        classes=data.classes,
        ipc=ipc,
        iterations=iterations or method.iterations,
        augmentation=data.augmentation,
        fixed=dict(fixed),
        precision=precision,
        compiled=compiled,
    )


def context_fixing(method: Method, context: Context, values: Mapping[str, Any]) -> Context:
    """`context` with `values` fixed, as the method's model reads them.

    Raises:
        SpaceError: see `resolve`, also for the defaults, which may follow what is fixed as iid's follow its base.
    """
    model = _validated(method, context, values)
    fixing = replace(context, fixed={name: getattr(model, name) for name in values})
    resolve(method, fixing, {})
    return fixing


def resolve(method: Method, context: Context, values: Mapping[str, Any]) -> BaseModel:
    """The method's hyperparameter model: its defaults for `context`, overlaid by `values`.

    Raises:
        SpaceError: an unknown name (with the nearest one), a value outside what the method allows, or values
            that it cannot run together.
    """
    model = _validated(method, context, values)
    method.check(context, model.model_dump())
    return model


def _validated(method: Method, context: Context, values: Mapping[str, Any]) -> BaseModel:
    model = method.hyperparameters
    for name in values:
        if name not in model.model_fields:
            raise SpaceError(unknown(f"hyperparameter of {method.name}", name, model.model_fields))
    try:
        return model.model_validate({**method.defaults(context).model_dump(), **values})
    except pydantic.ValidationError as error:
        # A field that takes a number or a list has a problem for each; the one that was meant lies deepest.
        problem = max(
            error.errors(),
            key=lambda each: (len(each["loc"]), not each["type"].endswith(("_type", "_parsing"))),
        )
        message = problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
        if not problem["loc"]:  # about several values, which the message names
            raise SpaceError(f"{method.name}: {message}") from None
        raise SpaceError(f"{problem['loc'][0]}: {message}, got {problem['input']!r}") from None


def load_of_study(config: DataConfig, folder: Path, fit: str = "train") -> DataSplits:
    """The data of the study in `folder`, as a worker loads them: quickly, and only those that the study began with.

    Args:
        config: which data.
        folder: of the study; its `fingerprint.json` says what it began with, if it is there.
        fit: `train`, or `train+val`, with which validation images join the training images.

    Raises:
        DataError: this machine has other data.
    """
    known = folder / "fingerprint.json"
    data = load_data(config)
    if known.exists() and files.read_json(known) != data.fingerprint:
        # A quick look can miss files that were rewritten in place; a machine's cache may be older than the study.
        data = load_data(config, verify=True)
        if files.read_json(known) != data.fingerprint:
            raise DataError(f"{config.name} holds other data here than those that the study began with")
    return data.train_and_val() if fit == "train+val" else data


def open_job(
    config: StudyConfig,
    data: DataSplits,
    *,
    home: Path,
    device: torch.device | None = None,
    measured: Mapping[str, float] | None = None,
) -> Job:
    """The job of a study on already loaded data.

    Networks are compiled where the study says `on`; `auto` was decided when the study began. `home` is where the
    study's home lies now, with the target banks, and the assets unless several homes share them.
    """
    method = registry.get(config.method)
    context = context_of(
        method,
        data,
        ipc=config.ipc,
        iterations=config.iterations,
        fixed=config.search.fix,
        precision=config.precision,
        compiled=config.compile == "on",
    )
    if measured:
        context = replace(context, measured=dict(measured))
    if device is None:
        device = devices.resolve("cpu" if config.resources.gpus_per_trial == 0 else config.evaluation.device)
    compute = Compute(device, context.precision, context.compiled)
    store = AssetStore(assets.root(home, config.resources.assets), data, compute, home=home)
    return Job(method, data, context, store, compute)
