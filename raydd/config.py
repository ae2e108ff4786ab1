"""`StudyConfig`: everything that makes a study what it is, validated once, at the door.

The models are frozen and refuse unknown keys. `load` and `build` collect every wrong field and raise one
`ConfigError` that names each by its path. All paths are absolute afterwards, because Ray changes the
working directory of its workers.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator, model_validator
from pydantic_core import PydanticCustomError

from raydd import compiling, files
from raydd.errors import ConfigError, unknown

LOCAL = "local"
INSTALLED = "installed"  # where workers have raydd from, if it is not a wheel
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
AUTO = "auto"

Scalar = bool | int | float | str
Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
Baseline = Literal["random", "herding", "k_center", "full"]


class Part(BaseModel):
    """Base of all parts: immutable, unknown keys refused, defaults validated."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def _absolute(path: str) -> str:
    return str(files.absolute(path))


def default_home() -> str:
    """Where studies live: `RAYDD_HOME`, else `./raydd-runs`."""
    return os.environ.get("RAYDD_HOME") or "raydd-runs"


def default_assets() -> str | None:
    """Folder of assets that several homes share: `RAYDD_ASSETS`; None is `assets` in the home."""
    return os.environ.get("RAYDD_ASSETS") or None


def default_data_root() -> str:
    """Where datasets are downloaded to: `RAYDD_DATA`, else `~/.cache/raydd/data`."""
    return os.environ.get("RAYDD_DATA") or "~/.cache/raydd/data"


class DataConfig(Part):
    """Which images, at which size, split how.

    Attributes:
        name: a catalog name (`raydd datasets` lists them) or a path to class-per-folder images.
        root: where catalog datasets are downloaded to.
        image_size: side in pixels that images are resized to; None keeps a catalog dataset's own size.
        val_fraction: share of the non-test images set aside for validation; None is 0.1, or 0.2 under
            5,000 images.
        test_fraction: share set aside as test, only where the data has no test set of its own.
        split_seed: seed of both splits; they depend on nothing else.
    """

    name: str = "digits"
    root: str = Field(default_factory=default_data_root)
    image_size: Annotated[int, Field(ge=4, le=1024)] | None = None
    val_fraction: Fraction | None = None
    test_fraction: Fraction = 0.2
    split_seed: int = 0

    @field_validator("root")
    @classmethod
    def _root_absolute(cls, value: str) -> str:
        return _absolute(value)

    @field_validator("name")
    @classmethod
    def _name_absolute(cls, value: str) -> str:
        # A catalog name has no separator and does not start like a path.
        if os.sep in value or value.startswith(("~", ".")):
            return _absolute(value)
        return value


class SearchConfig(Part):
    """How hyperparameters are drawn and which trials are stopped early.

    Attributes:
        trials: number of trials, trial 0 (the default setting) and other published points included; a grid has as many
            as it has settings and replicates.
        sampler: `tpe`, `random`, or `grid`, which runs every combination of `grid` and draws nothing.
        scheduler: `asha` stops hopeless trials at rungs, `none` runs all to the end, as a grid always does.
        reduction_factor: rungs lie at 1/reduction_factor^k of the work; one in so many survives.
        prune_margin: a trial is stopped only when it lies below the cutoff by more than this many
            standard errors of an evaluation.
        concurrency: trials at once; None is as many as the resources hold.
        objective: metric that is maximised.
        fix: hyperparameters held at one value in every trial.
        range: narrowed ranges, `LOW..HIGH` or a list of choices.
        points: settings of your own that are run after the published ones and before anything is drawn; each names
            what differs from trial 0.
        grid: values to combine, by hyperparameter; what is left out is trial 0's.
        replicates: how often each combination of a grid is run, each time with another seed.
    """

    trials: Positive = 16
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    scheduler: Literal["asha", "none"] = "asha"
    reduction_factor: Annotated[int, Field(ge=2, le=10)] = 3
    prune_margin: Annotated[float, Field(ge=0.0)] = 1.0
    concurrency: Positive | None = None
    objective: Literal["val_accuracy"] = "val_accuracy"
    fix: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)
    range: dict[str, str | list[Scalar]] = Field(default_factory=dict)
    points: list[dict[str, Scalar]] = Field(default_factory=list)
    grid: dict[str, list[Scalar]] = Field(default_factory=dict)
    replicates: Positive = 1

    @model_validator(mode="before")
    @classmethod
    def _of_a_grid(cls, values: Any) -> Any:
        """What follows from a grid where it is not said: its sampler, no scheduler, and its number of trials."""
        grid = values.get("grid") if isinstance(values, Mapping) else None
        if not isinstance(grid, Mapping) or not grid:
            return values
        found = {"sampler": "grid", "scheduler": "none", **values}
        replicates = values.get("replicates", 1)
        if isinstance(replicates, int) and all(isinstance(one, list) for one in grid.values()):
            found.setdefault("trials", max(1, replicates) * math.prod(map(len, grid.values())) or 1)
        return found

    @model_validator(mode="after")
    def _grid_alone(self) -> SearchConfig:
        if self.sampler != "grid":
            if self.grid or self.replicates > 1:
                name = "grid" if self.grid else "replicates"
                raise _together(f"{name} is for sampler grid, got sampler {self.sampler}")
            return self
        if not self.grid:
            raise _together("sampler grid needs values to combine, such as grid: {lr_img: [0.1, 1.0]}")
        for name, chosen in self.grid.items():
            if not chosen or len({repr(one) for one in chosen}) < len(chosen):
                raise _together(f"grid.{name} must have at least one value, and each once, got {chosen}")
        if self.scheduler != "none":
            raise _together(
                "a grid takes scheduler none, because it is whole only where every trial runs to its end, got "
                f"{self.scheduler}"
            )
        if self.points:
            raise _together("a grid begins with trial 0 and its own settings, so that points must be empty")
        return self


def _together(message: str) -> PydanticCustomError:
    """What is wrong with several fields of a part, which the message names."""
    return PydanticCustomError("together", "{message}", {"message": message})


class EvaluationConfig(Part):
    """How a distilled set is judged during the search.

    Attributes:
        protocol: evaluation protocol; None is the method's own.
        net: network trained on the distilled set, such as `convnet` or `convnet-w32`.
        epochs: epochs of that training; None is the protocol's.
        repeats: networks per evaluation, averaged.
        device: `auto`, `cpu`, `cuda`; where trials and evaluations run.
    """

    protocol: str | None = None
    net: str = "convnet"
    epochs: Positive | None = None
    repeats: Positive = 2
    device: str = "auto"


class ConfirmConfig(Part):
    """Re-ranking on validation and the report on test, with fresh seeds.

    Attributes:
        top: complete trials that are distilled anew.
        rerank_seeds: fresh seeds of each in the re-ranking.
        report_seeds: paired fresh seeds of the report.
        max_report_seeds: limit when seeds are added to narrow the interval.
        half_width: wanted half-width of the paired 95 % intervals, as a fraction (0.005 = 0.5 points).
        repeats: networks per distilled set.
        nets: architectures of the report; None is the evaluation's net.
        epochs: evaluation epochs; None is the evaluation's. In the report, sets of another size than the winner's
            are evaluated again after as many optimisation steps.
        fit: `train`, or `train+val` for comparison with published numbers.
        baselines: what is reported beside the methods: `random` real images, `herding` and `k_center`
            coresets, and `full`, a network trained on all training images; `[]` is none.
        baseline_epochs: epochs of that network, which also gives the coresets their features; None is 30,
            or more on small data, so that there are at least 1,000 steps.
    """

    top: Positive = 5
    rerank_seeds: Positive = 3
    report_seeds: Annotated[int, Field(ge=2)] = 5
    max_report_seeds: Annotated[int, Field(ge=2)] = 20
    half_width: Annotated[float, Field(gt=0.0)] = 0.005
    repeats: Positive = 5
    nets: list[str] | None = None
    epochs: Positive | None = None
    fit: Literal["train", "train+val"] = "train"
    baselines: list[Baseline] = Field(default_factory=lambda: list(get_args(Baseline)))
    baseline_epochs: Positive | None = None

    @field_validator("baselines")
    @classmethod
    def _each_once(cls, value: list[Baseline]) -> list[Baseline]:
        if len(set(value)) < len(value):
            raise ValueError("must name every baseline once at most")
        return value


class ResourcesConfig(Part):
    """What one trial takes, and which Ray it runs on.

    Attributes:
        cpus_per_trial: CPUs, which are also the trial's threads.
        gpus_per_trial: share of a GPU; 0 runs on the CPU; `auto` measures a trial before the launch and takes the
            smallest share that holds it, 0 on a machine without a GPU.
        address: None, or `local`, starts a Ray on this machine; otherwise HOST:PORT of a running cluster's head, or
            `auto`: the one that RAY_ADDRESS names, or that runs on this machine.
        code: where workers have raydd from: `installed`, or a wheel that is sent to them.
        assets: folder of assets that several homes share; None is `assets` in the home. It is saved, so that every
            node and every resume looks where the study began.
    """

    cpus_per_trial: Positive = 1
    # A number for all who read it: `auto` becomes one in `raydd.tuning.prepare`, before anything else is looked at.
    gpus_per_trial: Annotated[float, Field(ge=0.0)] = 0.0
    address: str | None = None
    code: str = INSTALLED
    assets: str | None = Field(default_factory=default_assets)

    @field_validator("address")
    @classmethod
    def _here_is_none(cls, value: str | None) -> str | None:
        return None if value == LOCAL else value

    @field_validator("code")
    @classmethod
    def _code_absolute(cls, value: str) -> str:
        if value != INSTALLED and not value.endswith(".whl"):
            raise ValueError(f"must be {INSTALLED} or the path of a .whl file")
        return value if value == INSTALLED else _absolute(value)

    @field_validator("assets")
    @classmethod
    def _assets_absolute(cls, value: str | None) -> str | None:
        return None if value is None else _absolute(value)

    @field_validator("gpus_per_trial", mode="wrap")
    @classmethod
    def _share_or_auto(cls, value: Any, read: Callable[[Any], float]) -> Any:
        if value == AUTO:
            return AUTO
        try:
            share = read(value)
        except pydantic.ValidationError:
            if isinstance(value, str):
                raise ValueError("must be a number or auto") from None
            raise
        if share > 1 and share != int(share):
            raise ValueError("must be at most 1 or a whole number, because Ray splits single GPUs only")
        return share

    @field_serializer("gpus_per_trial")
    def _share_as_it_is(self, value: Any) -> Any:
        return value

    @property
    def measures_share(self) -> bool:
        """Whether `gpus_per_trial` is still to be measured."""
        share: Any = self.gpus_per_trial
        return bool(share == AUTO)


class BudgetConfig(Part):
    """When the search ends before all trials are done; all counted over all sessions of a study.

    Attributes:
        hours: wall time of the search.
        gpu_hours: trials' time, each times its share of a GPU (`resources.gpus_per_trial`).
        patience: trials that may end in a row without a new best one.
    """

    hours: Annotated[float, Field(gt=0.0)] | None = None
    gpu_hours: Annotated[float, Field(gt=0.0)] | None = None
    patience: Positive | None = None


class TrackingConfig(Part):
    """Where MLflow keeps the study.

    Attributes:
        uri: tracking URI; None is one sqlite file under the home.
        experiment: experiment name; None is `<method>-<data>-ipc<k>`.
    """

    uri: str | None = Field(default_factory=lambda: os.environ.get("MLFLOW_TRACKING_URI") or None)
    experiment: str | None = None


class StudyConfig(Part):
    """A whole study. `name` may be left out when it is built: `raydd.search` then finds a free one.

    Attributes:
        method: name of an installed method (`raydd methods`).
        ipc: synthetic images per class.
        iterations: length of a full trial, in the method's unit.
        seed: seed of everything that is searched; splits and assets have their own.
        home: folder of all studies.
        precision: `fp32`; `mixed`, bfloat16 where no image gradient flows (real features, training and
            testing of networks); or `bf16`, bfloat16 for the synthetic images too, an approximation.
        compile: whether networks are compiled: `on`, `off`, or `auto`, which decides by the length of the
            study before it starts.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    method: str
    ipc: Positive = 10
    iterations: Positive | None = None
    seed: int = 0
    home: str = Field(default_factory=default_home)
    precision: Literal["fp32", "mixed", "bf16"] = "fp32"
    compile: Literal["auto", "on", "off"] = "auto"
    data: DataConfig = Field(default_factory=DataConfig)
    search: SearchConfig = Field(default_factory=SearchConfig)
    evaluation: EvaluationConfig = Field(default_factory=EvaluationConfig)
    confirm: ConfirmConfig = Field(default_factory=ConfirmConfig)
    resources: ResourcesConfig = Field(default_factory=ResourcesConfig)
    budget: BudgetConfig = Field(default_factory=BudgetConfig)
    tracking: TrackingConfig = Field(default_factory=TrackingConfig)

    @field_validator("home")
    @classmethod
    def _home_absolute(cls, value: str) -> str:
        return _absolute(value)

    @field_validator("compile", mode="before")
    @classmethod
    def _compile_as_a_word(cls, value: Any) -> Any:
        return compiling.word(value)

    @property
    def folder(self) -> Path:
        """The study's folder; the name must be known."""
        assert self.name is not None
        return Path(self.home) / "studies" / self.name

    def replace(self, **changes: Any) -> StudyConfig:
        """A copy with top-level fields changed, validated again."""
        return StudyConfig.model_validate({**self.model_dump(), **changes})


def _problem(error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"]) or "study"
    if error["type"] == "extra_forbidden":
        model: type[BaseModel] = StudyConfig
        for part in error["loc"][:-1]:
            annotation = model.model_fields[str(part)].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
        return f"{path}: {unknown('field', str(error['loc'][-1]), model.model_fields)}"
    if error["type"] == "missing":
        return f"{path}: is required"
    if error["type"] == "string_pattern_mismatch":
        return (
            f"{path}: {error['input']!r} must be lower-case letters, digits, '.', '_' or '-', "
            "start with a letter or digit, and have at most 64 characters"
        )
    if error["type"] == "together":
        return f"{path}: {error['msg']}"
    message = re.sub(r"^(Value error, |Input )", "", error["msg"])
    return f"{path}: {message}, got {error['input']!r}"


def build(values: Mapping[str, Any]) -> StudyConfig:
    """Validate nested plain values into a `StudyConfig`.

    Raises:
        ConfigError: one line for every wrong field, each with its path.
    """
    try:
        return StudyConfig.model_validate(dict(values))
    except pydantic.ValidationError as error:
        raise ConfigError(sorted({_problem(item) for item in error.errors()})) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Plain values of a YAML file.

    Raises:
        ConfigError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold 'field: value' lines, got {type(values).__name__}")
    return values


def set_path(values: dict[str, Any], path: str, value: Any) -> None:
    """Set the field `a.b` of nested plain values, making the parts on the way."""
    *parents, last = path.split(".")
    for parent in parents:
        child = values.get(parent)
        if not isinstance(child, dict):
            child = values[parent] = {}
        values = child
    values[last] = value


def dump_yaml(config: StudyConfig) -> str:
    """The resolved configuration as YAML, which `build(yaml.safe_load(...))` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(), sort_keys=False)
