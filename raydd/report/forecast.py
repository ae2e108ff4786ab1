"""A forecast as people read it: what a trial and the study will take, whether it fits, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from raydd.wording import duration, size

if TYPE_CHECKING:
    from rich.console import RenderableType


def render(found: Mapping[str, Any]) -> list[RenderableType]:
    """Paragraphs and the table of stages; `found` is what `raydd.tuning.forecast.forecast` returns."""
    return [
        _paragraph(trial_lines(found)),
        stages(found),
        _paragraph(study_lines(found)),
        _paragraph([*memory_lines(found), *disk_lines(found)]),
        *([_paragraph([f"warning: {line}" for line in found["warnings"]])] if found["warnings"] else []),
        _paragraph(["This was a dry run: no study was started, and nothing was written but caches."]),
    ]


def _paragraph(lines: list[str]) -> Text:
    return Text("\n".join(lines))


def trial_lines(found: Mapping[str, Any]) -> list[str]:
    """A trial: the parts that were measured, and what they add up to."""
    measured, trial = found["measured"], found["trial"]
    cpus, load = found["cpus_per_trial"], measured["load"]
    rungs = trial["rungs"]
    lines = [
        f"a trial of {trial['iterations']} {found['unit']} takes about {duration(trial['seconds'])} with trial 0's "
        f"setting ({hours(trial['cpu_hours'])} CPU-hours{gpus(found, trial['gpu_hours'])}), of which evaluations are "
        f"{trial['evaluation_share']:.0%}",
        f"  measured on {measured['device_name']} with {cpus} thread{'s' * (cpus > 1)}, machine load {load:.1f}: "
        f"{duration_of_step(measured['step'])} a step (of {measured['steps']}), "
        f"{duration(measured['evaluation'])} + {duration_of_step(measured['epoch'])} an epoch for an evaluation",
    ]
    if measured["renewal"] > 0:
        lines.append(
            f"  every {measured['period']} {found['unit']} something is begun anew, which takes "
            f"{duration_of_step(measured['renewal'])}"
        )
    if measured["banked_step"] is not None:
        lines.append(
            f"  later trials take about {duration(trial['later_seconds'])} (evaluations "
            f"{trial['later_evaluation_share']:.0%}): they read {found['disk']['bank_share']:.0%} of the real side "
            f"from the target bank, {duration_of_step(measured['banked_step'])} a step"
        )
    if trial["bank_unknown"]:
        lines.append(
            "  later trials may be shorter: steps are too long to fill a block of the target bank here and measure it"
        )
    if rungs:
        stopped = (
            f"{rung['progress']:.0%} after {duration(rung['seconds'])}"
            + (
                f" (later trials {duration(rung['later_seconds'])})"
                if measured["banked_step"] is not None
                else ""
            )
            for rung in rungs
        )
        lines.append("  stopped early: at " + ", at ".join(stopped))
    lines.append(
        f"  a worker process starts in about {duration(measured['process'])}, and its first trial takes "
        f"{duration(trial['process_seconds'])} more (data, first steps"
        + (", compiling)" if found["compiled"] else ")")
    )
    relative = trial["relative"]
    if relative["most"] > 1.05 or relative["least"] < 0.95:
        lines.append(
            f"  distillations of other settings are {relative['least']:.2g} to {relative['most']:.2g} times the "
            f"arithmetic of trial 0's, {relative['mean']:.2g} times on average"
        )
    return lines


def stages(found: Mapping[str, Any]) -> RenderableType:
    """Wall time and CPU- and GPU-hours of every stage and of the study."""
    table = Table(box=box.SIMPLE)
    table.add_column("stage", no_wrap=True)
    for name in ("tasks", "about, wall", "CPU-hours", "GPU-hours"):
        if name != "GPU-hours" or found["measured"]["device"] == "cuda":
            table.add_column(name, justify="right", no_wrap=True)
    for stage in found["stages"]:
        table.add_row(stage["stage"], str(stage["units"]), *_costs(found, stage))
    table.add_row("study", "", *_costs(found, found["total"]))
    return table


def _costs(found: Mapping[str, Any], stage: Mapping[str, Any]) -> list[str]:
    def between(name: str, shown: Any) -> str:
        best, worst = shown(stage["best"][name]), shown(stage["worst"][name])
        return best if best == worst else f"{best} to {worst}"

    cells = [between("wall_seconds", duration), between("cpu_hours", hours)]
    return cells + ([between("gpu_hours", hours)] if found["measured"]["device"] == "cuda" else [])


def study_lines(found: Mapping[str, Any]) -> list[str]:
    """What the table rests on."""
    at_once = found["concurrency"]
    lines = [
        f"{at_once} trial{'s' * (at_once > 1)} at once"
        + ("; side by side each is slower than alone, where they share memory and caches" * (at_once > 1))
    ]
    if found["total"]["best"] != found["total"]["worst"]:
        lines.append(
            "less where as many trials as possible are stopped at the first rung, more where none is stopped"
        )
    lines.append(
        "assets, re-rank and report are scaled from the trial by their arithmetic; report with its first seeds"
    )
    return lines


def memory_lines(found: Mapping[str, Any]) -> list[str]:
    """Peak of a trial, and how many fit."""
    memory = found["memory"]
    peak, machine = size(memory["peak"]), size(memory["machine"])
    lines = [f"memory: a trial takes {peak} of {machine}; {memory['fit_at_once']} fit at once"]
    if "gpu_peak" in memory:
        lines.append(
            f"GPU memory: a trial takes {size(memory['gpu_peak'])} of {size(memory['gpu'])}; "
            f"{memory['gpu_fit_at_once']} fit on a GPU; proposed: --gpus-per-trial {found['gpus_per_trial']:g}"
        )
    return lines


def disk_lines(found: Mapping[str, Any]) -> list[str]:
    """What the study needs on disk."""
    disk = found["disk"]
    parts = [
        f"checkpoints {size(disk['checkpoints'])} ({disk['checkpoints_kept']} x {size(disk['checkpoint_bytes'])})",
        f"distilled sets {size(disk['sets'])}",
        f"MLflow artifacts {size(disk['artifacts'])}",
    ]
    if disk["assets"]:
        parts.append(f"assets {size(disk['assets'])}")
    if disk["bank_wanted"]:
        cut = f" of {size(disk['bank_wanted'])}, for RAYDD_BANK_GB and the free disk" * (
            disk["bank"] < disk["bank_wanted"]
        )
        parts.append(f"target bank {size(disk['bank'])}{cut}")
    return [f"disk: about {size(disk['sum'])} of {size(disk['free'])} that are free: {', '.join(parts)}"]


def hours(amount: float) -> str:
    """Hours with two significant digits."""
    return f"{amount:.2g}" if amount < 100 else f"{amount:,.0f}"


def gpus(found: Mapping[str, Any], amount: float) -> str:
    """GPU-hours in a sentence, where there are any."""
    return f", {hours(amount)} GPU-hours" if found["measured"]["device"] == "cuda" else ""


def duration_of_step(seconds: float) -> str:
    """Short times in milliseconds."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else duration(seconds)
