"""The parent run of a study: where it lies in MLflow, and what it says.

What only the loaded data and the method's code can tell is kept in the study's folder (`spool/parent.json`), so that
the study can be written into a tracking store without them.
"""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd import files
from raydd.tuning import descriptions, labels
from raydd.tuning.course import study_files, write_contact_sheet
from raydd.tuning.headline import headline
from raydd.tuning.mlflow_limits import flat
from raydd.tuning.store_uri import restored

if TYPE_CHECKING:
    from raydd.config import StudyConfig
    from raydd.tuning.plan import Plan
    from raydd.tuning.studies import Study
    from raydd.tuning.tracking import Tracker

SPOOLED = Path("spool", "parent.json")


@dataclass(frozen=True)
class Parent:
    """What the runs of a study have in common.

    Attributes:
        experiment: name of the MLflow experiment.
        title: the method and its source, in Markdown.
        lines: what was planned, for people.
        params: settings that hold for all trials, as text.
        tags: of the parent and of every child run.
        dataset: MLflow's input: `name`, `fingerprint`, `source`, `context`.
        default_name: what trial 0's setting is called.
        unit: what iterations count.
    """

    experiment: str
    title: str
    lines: list[str]
    params: dict[str, str]
    tags: dict[str, str]
    dataset: dict[str, str]
    default_name: str
    unit: str

    @classmethod
    def of(cls, study: Study, plan: Plan) -> Parent:
        """What a plan says; it is written into the study's folder."""
        values = plan.config.model_dump(exclude={"home", "name", "tracking"})
        defaults = plan.method.defaults(plan.context).model_dump(mode="json")
        searched = plan.space.hyperparameters()
        unsearched = {f"method.{name}": defaults[name] for name in defaults if name not in searched}
        parent = cls(
            experiment=experiment(plan),
            title=f"**{plan.method.title}** — {plan.method.reference}",
            lines=plan.lines(),
            params=dict(flat({**values, **unsearched})),
            tags=common_tags(study, plan),
            dataset={
                "name": plan.data.name,
                "fingerprint": plan.data.fingerprint,
                "source": plan.config.data.name,
                "context": "training",
            },
            default_name=plan.method.default_name(plan.context),
            unit=plan.method.unit,
        )
        files.write_json(study.folder / SPOOLED, asdict(parent))
        return parent

    @classmethod
    def spooled(cls, study: Study) -> Parent | None:
        """What an earlier driver wrote into the study's folder; None where it did not, or not all of it."""
        try:
            return cls(**files.read_json(study.folder / SPOOLED))
        except (OSError, ValueError, TypeError):
            return None


def tracking_uri(config: StudyConfig) -> str:
    """The study's tracking URI: as configured, else one sqlite file under the home.

    Raises:
        TrackingError: it needs a password, which is not saved and has to be given again.
    """
    if config.tracking.uri:
        return restored(config.tracking.uri)
    return f"sqlite:///{Path(config.home) / 'mlflow.db'}"


def artifact_root(config: StudyConfig) -> Path:
    """Folder of artifacts of a store without a server; a server keeps its own."""
    return Path(config.home) / "artifacts"


def experiment(plan: Plan) -> str:
    """Name of the MLflow experiment."""
    return (
        plan.config.tracking.experiment or f"{plan.method.name}-{plan.context.dataset}-ipc{plan.context.ipc}"
    )


def common_tags(study: Study, plan: Plan) -> dict[str, str]:
    """Tags of the parent and of every child run."""
    return {
        "raydd.study": study.name,
        "raydd.study_id": str(files.read_json(study.folder / "provenance.json")["study_id"]),
        "raydd.method": plan.method.name,
        "raydd.dataset": plan.context.dataset,
        "raydd.ipc": str(plan.context.ipc),
        "raydd.seed": str(plan.config.seed),
        **labels.tags(plan.method, plan.context),
    }


def open_parent(tracker: Tracker, study: Study, parent: Parent, *, goes_on: bool = True) -> None:
    """Open the study's parent run with everything that its trials have in common."""
    tracker.open_study(
        study.name,
        params=parent.params,
        tags=parent.tags,
        description=describe(study, parent),
        dataset=parent.dataset,
        files=[study.folder / "study.yaml", study.folder / "provenance.json"],
        begun=begun(study),
        goes_on=goes_on,
    )


def begun(study: Study) -> int | None:
    """When the study was made, in milliseconds since 1970; None where that is not known."""
    facts: dict[str, Any] = files.read_json(study.folder / "provenance.json")
    if "time" not in facts:
        return None
    return int(datetime.datetime.fromisoformat(facts["time"]).timestamp() * 1000)


def describe(study: Study, parent: Parent) -> str:
    """The description of the parent run, as the study's files stand."""
    return descriptions.of_study(
        study.name, parent, study.trials(), study.config.search.trials, study.report()
    )


def show_end(tracker: Tracker, study: Study, parent: Parent) -> None:
    """Put what the study has come to on its open parent run: figures, description, and every file there is.

    That includes the study's folder `report`, whoever wrote it; see `raydd.tuning.course.study_files`.
    """
    trials, report = study.trials(), study.report()
    metrics, tags = ({}, {}) if report is None else headline(report)
    tracker.log_study(metrics, tags, describe(study, parent))
    write_contact_sheet(study, trials)
    tracker.study_artifacts(study_files(study))
