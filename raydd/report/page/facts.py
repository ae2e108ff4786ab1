"""`StudyFacts`: all that a report is made of, read once from a study's folder and its journal."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raydd import files, registry
from raydd.errors import RayddError
from raydd.report.trials import ranked
from raydd.tuning import status as statuses
from raydd.tuning.labels import relabels
from raydd.tuning.provenance import versions
from raydd.tuning.stages import DECISIONS

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from raydd.config import StudyConfig
    from raydd.tuning.status import Status
    from raydd.tuning.studies import Study, TrialRecord

SETUP = 0  # the rung of the initial images, and
END = 1000  # that of the end, in thousandths of the work, as in `raydd.cadence`


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a trial on validation data.

    Attributes:
        iteration: after which it was made.
        progress: share of the work that was done, in [0, 1].
        rung: thousandths where it lies on a rung (0 the initial images, 1000 the end), else -1.
        accuracy: mean over its networks, a fraction.
    """

    iteration: int
    progress: float
    rung: int
    accuracy: float


@dataclass(frozen=True)
class TrialFacts:
    """One trial.

    Attributes:
        record: as its files tell it.
        rank: among the complete trials, None for all others.
        evaluations: in order.
        seconds: wall time of all attempts, also of those that were cut off.
        evaluating: of these, how many went into evaluations, as far as the reports tell (see `cost.evaluating`).
    """

    record: TrialRecord
    rank: int | None
    evaluations: list[Evaluation]
    seconds: float
    evaluating: float

    @property
    def number(self) -> int:
        """Its number."""
        return self.record.number

    def at(self, rung: int) -> float | None:
        """Accuracy at a rung, a fraction; None where it was not reached."""
        return next((one.accuracy for one in self.evaluations if one.rung == rung), None)


@dataclass(frozen=True)
class StudyFacts:
    """A study as a report needs it.

    Attributes:
        study, config, status: of it.
        method: its title, or its name where the method is not installed here.
        unit: what iterations are called.
        trials: by number.
        labels: `hard` or `soft`, as confirmed; before that what the method gives its sets.
        report: the confirmation, or None.
        stopped: (rung, trial) of every decision of the scheduler to stop.
        drawn: Optuna's trials by number, which have the distributions.
        provenance: of the study; `fingerprint` of its data, where it is known.
        stages: seconds of re-ranking and report (`re-rank`, `report`), and of these the evaluations'.
        versions: of what wrote this report.
    """

    study: Study
    config: StudyConfig
    status: Status
    method: str
    unit: str
    labels: str
    trials: list[TrialFacts]
    report: dict[str, Any] | None
    stopped: set[tuple[int, int]]
    drawn: dict[int, FrozenTrial]
    provenance: dict[str, Any]
    fingerprint: str
    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study.name

    @property
    def complete(self) -> list[TrialFacts]:
        """Complete trials, best first."""
        return sorted((one for one in self.trials if one.rank is not None), key=lambda one: one.rank or 0)

    @property
    def winner(self) -> int | None:
        """Number of the trial that was confirmed; before that, of the best complete one; None without one."""
        if self.report is not None:
            return int(self.report["winner"]["trial"])
        return self.complete[0].number if self.complete else None

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What every searched name was drawn from, as its newest trial knows it."""
        found: dict[str, BaseDistribution] = {}
        for trial in self.drawn.values():
            found.update(trial.distributions)
        return found

    @property
    def on_gpu(self) -> bool:
        """Whether a trial takes a share of a GPU."""
        return self.config.resources.gpus_per_trial > 0


def read(study: Study) -> StudyFacts:
    """Everything, from files alone; neither the data nor Ray nor the tracking store are asked.

    Raises:
        RayddError: the study's configuration cannot be read.
    """
    from raydd.report.page import cost
    from raydd.tuning.searcher import read_optuna

    config = study.config
    title, unit, labels = config.method, "iterations", "hard"
    with contextlib.suppress(RayddError):  # a plug-in that is not installed here
        method = registry.get(config.method)
        title, unit = method.title, method.unit
        if relabels(method) and config.search.fix.get("labels") != "hard":
            labels = "soft"
    report = study.report()
    trials = []
    for rank, record in ranked(study.trials()):
        rows = study.history(record.number)
        attempts = study.trial_files(record.number).seconds()
        trials.append(
            TrialFacts(record, rank, evaluations(rows), sum(attempts.values()), cost.evaluating(rows))
        )
    decisions = files.read_jsonl(study.folder / DECISIONS)
    return StudyFacts(
        study=study,
        config=config,
        status=statuses.status(study),
        method=title,
        unit=unit,
        labels=labels if report is None else str(report["label_regime"]),
        trials=sorted(trials, key=lambda one: one.number),
        report=report,
        stopped={(int(row["rung"]), int(row["number"])) for row in decisions if row["stopped"]},
        drawn={trial.number: trial for trial in read_optuna(study.journal, study.name)},
        provenance=_json(study, "provenance.json") or {},
        fingerprint=str(_json(study, "fingerprint.json") or ""),
        stages=cost.stages(study),
        versions=versions(),
    )


def evaluations(rows: list[dict[str, Any]]) -> list[Evaluation]:
    """The evaluations among a trial's reports that gave a number."""
    return [
        Evaluation(
            int(row["iteration"]),
            float(row.get("progress", 0.0)),
            int(row.get("rung", -1)),
            float(row["val_accuracy"]),
        )
        for row in rows
        if row.get("evaluated") and row["val_accuracy"] == row["val_accuracy"]
    ]


def _json(study: Study, name: str) -> Any:
    try:
        return files.read_json(study.folder / name)
    except (OSError, ValueError):
        return None
