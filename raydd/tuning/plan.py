"""Everything that can be wrong with a study is found here, before a folder is made or Ray is started."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from raydd import compiling, devices, evaluation, files, jobs, nets, pretrained, registry, workload
from raydd.cadence import SMALLEST_STUDY, Cadence
from raydd.config import StudyConfig
from raydd.data import DataSplits, load_data
from raydd.errors import ConfigError, SpaceError, StudyError, unknown
from raydd.registry import Context, Method, Scalar
from raydd.storage.assets import PUBLIC
from raydd.tuning import cluster, grid, labels, measurement, shares
from raydd.tuning.measurement import Measured
from raydd.tuning.searcher import Point
from raydd.tuning.space import StudySpace
from raydd.tuning.studies import CONFIG_FILE, Study, taken
from raydd.wording import size


@dataclass(frozen=True)
class Plan:
    """A checked study: its configuration with every default filled in, and what follows from it."""

    config: StudyConfig
    method: Method
    data: DataSplits
    context: Context
    space: StudySpace
    points: list[Point]
    notes: list[str]
    why: str = ""  # reason for compiling or not, where that was decided
    measured: Measured | None = None  # of trial 0, where its share of a GPU was to be found

    def lines(self) -> list[str]:
        """What is about to be run, for the person who asked for it."""
        config, context = self.config, self.context
        rungs = Cadence.of(
            context.iterations,
            scheduler=config.search.scheduler,
            reduction_factor=config.search.reduction_factor,
            progress_floor=self.method.progress_floor,
        ).rungs
        small = config.search.trials < SMALLEST_STUDY
        base = self.method.base_of(context)
        in_all = "" if self.iterations == context.iterations else f" ({self.iterations} in all in trial 0)"
        lines = [
            f"study {config.name}: {self.method.title}" + (f"; its base here: {base}" if base else ""),
            f"data: {context.dataset} "
            f"({context.size}x{context.size}, {context.channels} channels, {context.classes} classes), "
            f"{context.ipc} images per class",
            f"{config.search.trials} trials of {context.iterations} {self.method.unit}{in_all}, "
            f"{config.search.sampler} sampler, "
            + (f"rungs at {', '.join(f'{rung:.0%}' for rung in rungs)}" if rungs else "no early stopping")
            + (f", too few to stop any early (from {SMALLEST_STUDY} on)" if rungs and small else ""),
            self.data.describe_validation(),
            f"searched: {', '.join(config.search.grid or self.space.distributions)}",
            f"trial 0: {self.method.default_name(context)} "
            f"({', '.join(f'{name}={value}' for name, value in self.points[0].values.items())})",
            compiling.line(context.precision, context.compiled, self.why),
        ]
        if labels.regime(self.method, context) == "soft":
            lines.append(
                "labels: soft, a teacher's; real images of the report get the winner's, and the pixels are judged with "
                "hard labels too"
            )
        caution = compiling.caution(context.precision, device_kind(config), context.compiled)
        return lines + ([caution] if caution else []) + self.notes

    @property
    def iterations(self) -> int:
        """What trial 0 counts to: more than `--iterations` where images are made one after the other."""
        return trial_iterations(self.method, self.context, {})


def trial_iterations(method: Method, context: Context, values: Mapping[str, Scalar]) -> int:
    """What a trial with these values counts to; `--iterations` where they cannot be run, as the trial will say."""
    try:
        resolved = jobs.resolve(method, context, values)
    except Exception:  # whatever a plug-in raises, it is that trial's failure and not the search's
        return context.iterations
    return method.total_iterations(context, resolved.model_dump())


def prepare(config: StudyConfig, said: Callable[[str], None] | None = None) -> Plan:
    """Check a study against what is installed, on this disk and in these data; writes nothing but caches.

    Args:
        config: of the study; a share of a GPU that is `auto` is measured, and a number in the plan.
        said: told a line before that, because it takes about a minute.

    Raises:
        RayddError: one sentence about the first thing that is wrong.
    """
    if config.resources.measures_share:
        return with_measured_share(config, said or (lambda line: None))
    method = registry.get(config.method)
    cluster.check(config.resources, config.evaluation.device)
    if config.evaluation.protocol is not None and config.evaluation.protocol not in evaluation.names():
        raise ConfigError(
            f"evaluation.protocol: {unknown('protocol', config.evaluation.protocol, evaluation.names())}"
        )
    for spec in {config.evaluation.net, *(config.confirm.nets or [])}:
        nets.validate(spec)
    if config.confirm.max_report_seeds < config.confirm.report_seeds:
        raise ConfigError(
            f"confirm.max_report_seeds: {config.confirm.max_report_seeds} must be at least confirm.report_seeds, "
            f"{config.confirm.report_seeds}"
        )
    check_home(Path(config.home))
    if config.name is not None and (config.folder / CONFIG_FILE).exists():
        raise StudyError(taken(config.name, Path(config.home)))
    data = load_data(config.data, verify=True)
    plan = plan_for(with_absolute_weights(config), method, data)
    if config.search.sampler == "grid":
        grid.check_trials(config.search, plan.points)
    base = method.base_of(plan.context)
    if base is not None:
        registry.get(base)
    check_nets(plan)
    pretrained.check(method, plan.context, data)
    plan = decide_compiling(plan)
    if plan.config.name is None:
        stem = re.sub(r"[^a-z0-9._-]+", "-", f"{method.name}-{data.name}-ipc{config.ipc}".lower())[:56]
        return replace(plan, config=plan.config.replace(name=Study.free_name(config.home, stem)))
    return plan


def with_measured_share(config: StudyConfig, said: Callable[[str], None]) -> Plan:
    """The plan of a study whose trials get as much of a GPU as one of them was seen to need.

    Raises:
        RayddError: see `prepare`; or the trials run elsewhere, or a trial cannot be measured.
    """
    import torch

    if config.resources.address is not None:
        raise ConfigError(
            "resources.gpus_per_trial: auto measures a trial on this machine, and the trials run on the Ray at "
            f"{config.resources.address}; give a number"
        )

    def sharing(given: StudyConfig, share: float) -> StudyConfig:
        return given.replace(resources={**given.resources.model_dump(), "gpus_per_trial": share})

    if config.evaluation.device == "cpu" or not torch.cuda.is_available():
        plan = prepare(sharing(config, 0.0))
        why = "trials run on the CPU" if config.evaluation.device == "cpu" else "there is no GPU here"
        return replace(plan, notes=[*plan.notes, f"GPUs per trial: 0, because {why}"])
    plan = prepare(sharing(config, 1.0))
    said("measuring a trial, to find its share of a GPU")
    found = measurement.measure(plan.config, plan.points[0].values)
    share = shares.gpu_share(
        found.gpu_memory,
        found.gpu_total,
        cpus=max(1, devices.available_cpus() // config.resources.cpus_per_trial),
        gpus=found.gpus,
        wanted=config.search.concurrency,
    )
    note = f"GPUs per trial: {share:g}, because a trial reserved {size(found.gpu_memory)} of {size(found.gpu_total)}"
    return replace(plan, config=sharing(plan.config, share), notes=[*plan.notes, note], measured=found)


def decide_compiling(plan: Plan) -> Plan:
    """The plan with `compile` on or off: trials, tasks and a resumed study then all do the same.

    Raises:
        ConfigError: `on` is asked for and cannot be done here.
    """
    config = plan.config
    gigaflops = workload.study(config, plan.method, plan.context, plan.data)
    threads = trials_at_once(config) * config.resources.cpus_per_trial
    compiled, why = compiling.resolve(
        config.compile, gigaflops, threads, device_kind(config), config.precision
    )
    return replace(
        plan,
        config=config.replace(compile="on" if compiled else "off"),
        context=replace(plan.context, compiled=compiled),
        why=why,
    )


def check_compiling(config: StudyConfig) -> None:
    """Refuse to go on with a study whose networks are compiled where that cannot work.

    Raises:
        StudyError: what is in the way.
    """
    problem = compiling.obstacle(device_kind(config)) if config.compile == "on" else None
    if problem is not None:
        raise StudyError(
            f"study {config.name!r} was begun with compiled networks and has to go on with them, but {problem}"
        )


def device_kind(config: StudyConfig) -> str:
    """`cuda` or `cpu`, whichever the trials have."""
    on_cpu = config.resources.gpus_per_trial == 0 or config.evaluation.device == "cpu"
    return "cpu" if on_cpu else "cuda"


def trials_at_once(config: StudyConfig) -> int:
    """Trials that run side by side; on a cluster, whose size is not known yet, one unless it is configured."""
    wanted = config.search.concurrency
    if config.resources.address is not None:
        return wanted or 1
    slots = max(1, devices.available_cpus() // config.resources.cpus_per_trial)
    return min(slots, wanted or slots, config.search.trials)


def check_nets(plan: Plan) -> None:
    """Refuse a network that cannot take the images, be it an asset, or named by a hyperparameter that ends in `net`.

    Raises:
        ConfigError: which network, and what it needs.
    """
    settings = plan.method.defaults(plan.context).model_dump()
    own = [value for name, value in settings.items() if name.endswith("net") and isinstance(value, str)]
    own += [spec.net for spec in plan.method.assets(plan.context)]
    for spec in {plan.config.evaluation.net, *(plan.config.confirm.nets or []), *own}:
        workload.forward(spec, plan.data)  # builds it, and counts an image's way through it


def with_absolute_weights(config: StudyConfig) -> StudyConfig:
    """The configuration with absolute paths for fixed values whose names end in `weights`, so that a study goes on from
    any folder.
    """
    fix = {
        name: str(files.absolute(value))
        if name.endswith("weights") and isinstance(value, str) and value not in ("", PUBLIC)
        else value
        for name, value in config.search.fix.items()
    }
    return config.replace(search={**config.search.model_dump(), "fix": fix})


def plan_for(
    config: StudyConfig, method: Method, data: DataSplits, measured: dict[str, float] | None = None
) -> Plan:
    """The plan of a configuration whose data are loaded; `measured` is what `Method.measure` found, if it ran."""
    context = jobs.context_of(
        method,
        data,
        ipc=config.ipc,
        iterations=config.iterations,
        fixed={},
        precision=config.precision,
        compiled=config.compile == "on",
    )
    context = jobs.context_fixing(method, context, config.search.fix)
    context = replace(context, measured=dict(measured or {}))
    space = StudySpace(method, context, config.search.range)
    points, notes = starting_points(method, context, space, config.search.trials)
    trials = config.search.trials
    if config.search.sampler == "grid":
        points = grid.points(
            method, context, config.search, points[0], functools.partial(own_point, method, context, space)
        )
        trials = max(trials, len(points))  # more were added to a study that has begun
        notes = [f"grid: {grid.describe(config.search, points)}"]
    points += [
        Point(own_point(method, context, space, given, f"search.points[{index}]"), "given")
        for index, given in enumerate(config.search.points)
    ]
    if len(points) > trials:
        raise ConfigError(
            f"search.trials: {config.search.trials} are asked for, and there are {len(points)} settings to begin with; "
            "ask for more trials, or give fewer points"
        )
    if not space.distributions:
        notes.append("every searched hyperparameter is fixed: all trials are the same setting")
    resolved = config.replace(
        iterations=context.iterations,
        search={**config.search.model_dump(), "trials": trials, "fix": dict(context.fixed)},
    )
    said = [*method.notes(context), *labels.cautions(method, context), *notes]
    return Plan(resolved, method, data, context, space, points, said)


def starting_points(
    method: Method, context: Context, space: StudySpace, trials: int
) -> tuple[list[Point], list[str]]:
    """Trial 0 and further published points, at most a quarter of the trials, and what to say about them."""
    defaults = method.defaults(context).model_dump()
    names = space.names_for(defaults)
    first = {name: defaults[name] for name in names}
    points, notes = [Point(first, "default")], []
    _, outside = space.split_point(first)
    if outside:
        notes.append(
            "trial 0 lies outside the narrowed range in "
            + ", ".join(f"{name}={value}" for name, value in outside.items())
            + "; it is run all the same, as the setting to compare with"
        )
    for published in method.points(context):
        values = {name: value for name, value in published.items() if name not in context.fixed}
        whole = {**defaults, **values}
        # What has no effect in it is not drawn.
        point = {name: whole[name] for name in space.names_for(whole)}
        if point == first:
            continue
        if space.split_point({name: value for name, value in values.items() if name in point})[1]:
            notes.append(f"published setting {values} lies outside the narrowed space and is left out")
        elif len(points) < max(1, trials // 4):
            points.append(Point(point, "published"))
    return points, notes


def own_point(
    method: Method, context: Context, space: StudySpace, given: Mapping[str, Scalar], where: str
) -> dict[str, Scalar]:
    """A user's setting, completed by trial 0's values of what it leaves open.

    Args:
        method, context, space: of the study.
        given: hyperparameters.
        where: they stand, for the sentence about what is wrong with them.

    Raises:
        ConfigError: an unknown name, a value that the method does not allow, or one that all trials of the study share.
    """
    fixed = [name for name in given if name in context.fixed and given[name] != context.fixed[name]]
    if fixed:
        name = fixed[0]
        raise ConfigError(
            f"{where}: {name} is {context.fixed[name]!r} in all trials of this study, got {given[name]!r}"
        )
    try:
        model = jobs.resolve(method, context, {**context.fixed, **given})
    except SpaceError as error:
        raise ConfigError(f"{where}: {error}") from None
    read = {name: getattr(model, name) for name in given}
    grid.check_shared(method, context, read, where)
    defaults = method.defaults(context).model_dump()
    searched = {name: defaults[name] for name in space.names_for({**defaults, **read})}
    return {**searched, **{name: value for name, value in read.items() if name not in context.fixed}}


def check_home(home: Path) -> None:
    """Refuse a home that cannot be written, without writing.

    Raises:
        StudyError: the home, or the nearest folder above it that exists, is no writable folder.
    """
    existing = home
    try:
        while not existing.exists():
            existing = existing.parent
        writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    except PermissionError:
        writable = False
    if not writable:
        raise StudyError(f"home: {home} cannot be written; name a writable folder with --home or RAYDD_HOME")
