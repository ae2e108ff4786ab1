"""The parent run of a study: where it lies in MLflow, and what it says before the first trial."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raydd import files
from raydd.tuning import labels
from raydd.tuning.store_uri import restored

if TYPE_CHECKING:
    from raydd.config import StudyConfig
    from raydd.tuning.plan import Plan
    from raydd.tuning.studies import Study
    from raydd.tuning.tracking import Tracker


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


def open_parent(tracker: Tracker, study: Study, plan: Plan) -> None:
    """Open the study's parent run with everything that its trials have in common."""
    values = plan.config.model_dump(exclude={"home", "name", "tracking"})
    defaults = plan.method.defaults(plan.context).model_dump(mode="json")
    searched = plan.space.hyperparameters()
    unsearched = {f"method.{name}": defaults[name] for name in defaults if name not in searched}
    tracker.open_study(
        study.name,
        params={**values, **unsearched},
        tags=common_tags(study, plan),
        description=f"**{plan.method.title}** — {plan.method.reference}\n\n"
        + "\n".join(f"- {x}" for x in plan.lines()),
        dataset={
            "name": plan.data.name,
            "fingerprint": plan.data.fingerprint,
            "source": plan.config.data.name,
            "context": "training",
        },
        files=[study.folder / "study.yaml", study.folder / "provenance.json"],
    )
