"""What the table says, as numbers: a row for every study and network of its report, from confirmed test figures alone.

Which cell of a row is the best is said only where its paired differences with all the others are resolved, at equal
optimisation steps and after Holm's correction over the row.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from raydd import files, registry
from raydd.errors import StudyError
from raydd.evaluation import statistics
from raydd.tuning.budget import Budget
from raydd.tuning.studies import Study
from search_spaces import published_numbers
from search_spaces.published_numbers import Number

COLUMNS = ("carried", "base", "tuned")
"""The cells of a row that were measured here."""

FAMILIES = {"convnet": "ConvNet", "resnet": "ResNet-", "resnetap": "ResNetAP-"}


@dataclass(frozen=True)
class Cell:
    """One measured figure.

    Attributes:
        mean, low, high: fractions on test data, with the 95 % t-interval over runs; NaN bounds for one run.
        n: distillation runs.
        seeds: of the runs, which pair them.
        compared: accuracies of the runs after `steps` optimisation steps, at which differences are taken.
        steps: optimisation steps of a network's training until then.
        epoch: optimisation steps of one epoch of it.
        note: what must be said of it; empty where it is what its column says.
    """

    mean: float
    low: float
    high: float
    n: int
    seeds: tuple[int, ...]
    compared: tuple[float, ...]
    steps: int
    epoch: int = 1
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One study on one network.

    Attributes:
        study, method, dataset, ipc, labels, network, protocol, epochs, fit: what was confirmed, and how; `method` is
            written as people write it.
        published: numbers of the same method, dataset and IPC, of the same family of networks where there are any.
        cells: by name of `COLUMNS`; what was not measured is missing.
        best: name of the cell that is better than every other one, resolved; None where none is.
        hours: of the search, in `unit`: `GPU-hours`, or `CPU-hours` where trials have no GPU.
        size: bytes of the winner's set.
        notes: sentences about the row.
    """

    study: str
    method: str
    dataset: str
    ipc: int
    labels: str
    network: str
    protocol: str
    epochs: int
    fit: str
    published: tuple[Number, ...]
    cells: Mapping[str, Cell]
    best: str | None
    hours: float
    unit: str
    size: int
    notes: tuple[str, ...]

    def is_best(self, name: str) -> bool:
        """Whether a cell is the best one: both are where trial 0 has won, whose cells are one."""
        one = name == "carried" and self.best == "tuned" and self.cells.get("carried") == _twin(self.cells)
        return name == self.best or one


def rows(studies: Sequence[Study]) -> list[Row]:
    """The rows, ordered by labels (hard ones first), dataset and IPC, and within these as the studies are given.

    Args:
        studies: confirmed ones. The winner of one is the tuned base of another where that stands on its method, and
            both were made from the same images and are judged alike.

    Raises:
        StudyError: a study has no report yet.
    """
    reports = {study.name: _report(study) for study in studies}
    found = [
        _row(study, net, studies, reports)
        for study in studies
        for net in dict.fromkeys(arm["net"] for arm in reports[study.name]["arms"] if arm["name"] == "winner")
    ]
    return sorted(found, key=lambda row: (row.labels, row.dataset, row.ipc))


def _report(study: Study) -> dict[str, Any]:
    report = study.report()
    if report is None:
        raise StudyError(
            f"study {study.name!r} is not confirmed on test data yet, and a table has confirmed figures only; "
            f"`raydd confirm {study.name}` first"
        )
    return report


def _row(study: Study, net: str, studies: Sequence[Study], reports: Mapping[str, dict[str, Any]]) -> Row:
    report, config = reports[study.name], study.config
    arms = {arm["name"]: arm for arm in report["arms"] if arm["net"] == net}
    winner, method = arms["winner"], registry.get(config.method)
    labels, dataset = winner["label_regime"], os.path.basename(config.data.name.rstrip("/"))
    notes = []
    cells = {"tuned": _cell(winner, report)}
    if report["winner"]["trial"] == 0:
        cells["carried"] = replace(
            cells["tuned"], note="trial 0 won the search: the tuned and the carried-over setting are one"
        )
    elif "default" in arms:
        cells["carried"] = _cell(arms["default"], report)
    base = _base(study, net, arms.get("base"), studies, reports)
    if base is not None:
        cells["base"] = base
    elif "base" in arms:
        notes.append(
            f"the base has {arms['base']['label_regime']} labels, and stands in no row of {labels} ones"
        )
    if report["fit"] == "train":
        notes.append(
            "distilled from the training part alone (fit: train), so not comparable with published numbers, whose sets "
            "are distilled from all training images"
        )
    numbers = published_for(config.method, config.search.fix, dataset, config.ipc, net, labels)
    best, problem = best_cell(cells)
    gpu = config.resources.gpus_per_trial > 0
    spent = Budget(study)
    return Row(
        study=study.name,
        method=_called(method, config.search.fix),
        dataset=dataset,
        ipc=config.ipc,
        labels=labels,
        network=net,
        protocol=report["protocol"]["name"],
        epochs=winner["epochs"],
        fit=report["fit"],
        published=tuple(numbers),
        cells=cells,
        best=best,
        hours=spent.gpu_hours if gpu else spent.trial_hours * config.resources.cpus_per_trial,
        unit="GPU-hours" if gpu else "CPU-hours",
        size=winner.get("image_bytes", winner["bytes"]),
        notes=(*notes, *([problem] if problem else [])),
    )


def _called(method: registry.Method, fixed: Mapping[str, Any]) -> str:
    """How a method is written, with the base where a study has another one than the method's own."""
    name = method.short or method.name.upper()
    return f"{name} on {str(fixed['base']).upper()}" if "base" in fixed else name


def _cell(arm: Mapping[str, Any], report: Mapping[str, Any], note: str = "") -> Cell:
    again = arm.get("equal_steps") or arm
    return Cell(
        arm["mean"],
        arm["low"],
        arm["high"],
        arm["n"],
        tuple(report["seeds"][: arm["n"]]),
        tuple(again["runs"]),
        again["optimisation_steps"],
        again["optimisation_steps"] // again["epochs"],
        note,
    )


def _base(
    study: Study,
    net: str,
    own: Mapping[str, Any] | None,
    studies: Sequence[Study],
    reports: Mapping[str, dict[str, Any]],
) -> Cell | None:
    """The base that a study of its own has tuned; without one that of the study's report, which has its default
    setting; None where it has other labels.
    """
    if own is None:
        return None
    report = reports[study.name]
    for other in studies:
        if other.config.method != own["method"] or _judged(other, reports) != _judged(study, reports):
            continue
        for arm in reports[other.name]["arms"]:
            if (arm["name"], arm["net"], arm["label_regime"]) == ("winner", net, report["label_regime"]):
                return _cell(arm, reports[other.name])
    if own["label_regime"] != report["label_regime"]:
        return None
    note = f"{own['title']}, not tuned: no study of {own['method']} that is judged alike is in the table"
    return _cell(own, report, note)


def _judged(study: Study, reports: Mapping[str, dict[str, Any]]) -> tuple[Any, ...]:
    """What two studies must share for their figures to stand beside each other."""
    report, config = reports[study.name], study.config
    fingerprint = study.folder / "fingerprint.json"
    known = files.read_json(fingerprint) if fingerprint.exists() else config.data.model_dump_json()
    return (known, config.ipc, report["fit"], files.canonical_json(report["protocol"]))


def best_cell(cells: Mapping[str, Cell]) -> tuple[str | None, str]:
    """The name of the best cell where that is resolved, and what kept cells from being compared, or nothing.

    Cells are compared in pairs over the seeds that they share, after equally many optimisation steps, to an epoch.
    """
    measured = {
        name: cell for name, cell in cells.items() if not (name == "carried" and cell == _twin(cells))
    }
    pairs = list(itertools.combinations(measured, 2))
    compared = []
    for a, b in pairs:
        one, other = measured[a], measured[b]
        shared = [seed for seed in one.seeds if seed in other.seeds]
        # A report evaluates a set of another size again, after the epochs that come nearest to the winner's steps.
        if len(shared) < 2 or abs(one.steps - other.steps) >= max(one.epoch, other.epoch):
            why = (
                f"{one.steps} and {other.steps} optimisation steps" if len(shared) > 1 else "no shared seeds"
            )
            return None, f"the columns {a} and {b} are not compared: {why}"
        values = [
            [cell.compared[cell.seeds.index(seed)] for seed in shared] for cell in (measured[a], measured[b])
        ]
        compared.append(statistics.paired(*values))
    adjusted = statistics.holm([difference.p for difference in compared])
    better: dict[str, set[str]] = {name: set() for name in measured}
    for (a, b), difference, p in zip(pairs, compared, adjusted):
        if p < 0.05 and difference.low > 0.0:
            better[a].add(b)
        elif p < 0.05 and difference.high < 0.0:
            better[b].add(a)
    for name, beaten in better.items():
        if beaten and len(beaten) == len(measured) - 1:
            return name, ""
    return None, ""


def _twin(cells: Mapping[str, Cell]) -> Cell | None:
    """What the carried-over cell is where trial 0 has won: the tuned one, but for its note."""
    tuned, carried = cells.get("tuned"), cells.get("carried")
    return None if tuned is None or carried is None else replace(tuned, note=carried.note)


def published_for(
    method: str, fixed: Mapping[str, Any], dataset: str, ipc: int, net: str, labels: str
) -> list[Number]:
    """Published numbers for a study: those of its family of networks, or all where that has none."""
    fields = registry.get(method).hyperparameters.model_fields
    defaults = {name: one.default for name, one in fields.items()}
    found = published_numbers.find(method, dataset, ipc, {**defaults, **fixed}, labels)
    alike = [number for number in found if number.network.startswith(family(net))]
    return alike or found


def family(net: str) -> str:
    """What papers call an architecture: `ResNet-18` for `resnet18-bn-w16`, `ConvNet` for `convnet-w32`."""
    name = net.partition("-")[0]
    stem = name.rstrip("0123456789")
    return FAMILIES.get(stem, stem) + (name[len(stem) :] if stem in FAMILIES else "")


def interval_known(cell: Cell) -> bool:
    """Whether a cell has an interval: it takes two runs."""
    return cell.n > 1 and math.isfinite(cell.low)
