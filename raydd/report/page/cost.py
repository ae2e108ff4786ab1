"""What a study cost, by stage and by trial, and what early stopping saved."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raydd import files

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts, TrialFacts
    from raydd.tuning.studies import Study

RERANK, REPORT = "re-rank", "report"
FOLDERS = {RERANK: "rerank", REPORT: "report"}  # what a confirmation calls the folders of its distillations


@dataclass(frozen=True)
class Cost:
    """Hours of a study.

    Attributes:
        cpu_hours, gpu_hours: of the search and the confirmation together.
        search: hours that trials ran, added up over trials (not yet times CPUs or GPUs).
        confirmation: the same for re-ranking and report.
        per_trial: mean hours of a trial that was begun; None without one.
        saved: hours that early stopping saved: by which stopped trials are shorter than they would be at the pace of
            complete ones; see `saved`.
        evaluation: share of search and confirmation that went into evaluations, in [0, 1]; None where nothing ran.
        cpus, gpus: of one trial.
    """

    cpu_hours: float
    gpu_hours: float
    search: float
    confirmation: float
    per_trial: float | None
    saved: float
    evaluation: float | None
    cpus: int
    gpus: float

    @property
    def saved_share(self) -> float:
        """Of what the search would have taken had all trials run to their end."""
        whole = self.search + self.saved
        return self.saved / whole if whole else 0.0


def of(facts: StudyFacts) -> Cost:
    """The cost of a study."""
    cpus, gpus = facts.config.resources.cpus_per_trial, facts.config.resources.gpus_per_trial
    usual = pace(facts)
    search = sum(trial.seconds for trial in facts.trials) / 3600
    confirmation = sum(seconds for seconds, _ in facts.stages.values()) / 3600
    judged = sum(trial.evaluating for trial in facts.trials) / 3600
    judged += sum(evaluating for _, evaluating in facts.stages.values()) / 3600
    hours = search + confirmation
    return Cost(
        cpu_hours=cpus * hours,
        gpu_hours=gpus * hours,
        search=search,
        confirmation=confirmation,
        per_trial=search / len(facts.trials) if facts.trials else None,
        saved=sum(saved(trial, usual) for trial in facts.trials) / 3600,
        evaluation=judged / hours if hours else None,
        cpus=cpus,
        gpus=gpus,
    )


def pace(facts: StudyFacts) -> float | None:
    """Seconds that complete trials took an iteration, all included, at the median; None without one."""
    found = [trial.seconds / trial.record.iteration for trial in facts.complete if trial.record.iteration > 0]
    return statistics.median(found) if found else None


def saved(trial: TrialFacts, pace: float | None) -> float:
    """Seconds by which a trial that was stopped early is shorter than one that runs to its end at `pace`.

    0 for all other trials. A stopped trial's own pace would say too much: most of its time is its start.
    """
    if trial.record.outcome != "pruned" or pace is None:
        return 0.0
    return max(0.0, trial.record.iterations * pace - trial.seconds)


def evaluating(rows: Sequence[dict[str, Any]]) -> float:
    """Seconds of a trial that went into its evaluations, from the times of its reports.

    A report with an evaluation took longer than its iterations do at the pace of the trial's reports without one; the
    rest is the evaluation. That of the initial images, which comes with the trial's start, is taken to be the median
    of the others. Where no report is without an evaluation there is no pace, and nothing is known: 0.
    """
    plain: list[tuple[float, int]] = []
    judged: list[tuple[float, int]] = []
    begun: dict[Any, float] = {}
    for before, row in itertools.pairwise(rows):
        if before.get("attempt") == row.get("attempt"):
            step = (
                float(row["seconds"]) - float(before["seconds"]),
                int(row["iteration"] - before["iteration"]),
            )
            (judged if row.get("evaluated") else plain).append(step)
    for row in rows:
        begun.setdefault(row.get("attempt"), float(row["seconds"]))
    iterations = sum(count for _, count in plain)
    if not iterations or not judged:
        return 0.0
    pace = sum(seconds for seconds, _ in plain) / iterations
    found = [max(0.0, seconds - pace * count) for seconds, count in judged]
    first = statistics.median(found) if rows[0].get("evaluated") else 0.0
    return sum(found) + min(first, float(rows[0]["seconds"]))


def stages(study: Study) -> dict[str, tuple[float, float]]:
    """Seconds of re-ranking and of the report over all their distillations, and of these the evaluations'."""
    found = {}
    for stage, folder in FOLDERS.items():
        results = [files.read_json(path) for path in study.folder.glob(f"confirm/*/{folder}-*/result.json")]
        seconds = sum(float(result["seconds"]) for result in results)
        distilling = sum(float(result["distill_seconds"]) for result in results)
        found[stage] = (seconds, seconds - distilling)
    return found
