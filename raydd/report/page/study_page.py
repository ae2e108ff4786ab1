"""The report of one study: which sections it has, in which order."""

from __future__ import annotations

import datetime
import os
from typing import TYPE_CHECKING

from raydd.report.page import result_sections, study_sections
from raydd.report.page.document import Document
from raydd.report.page.figure import about

if TYPE_CHECKING:
    from raydd.report.page.facts import StudyFacts
    from raydd.report.page.importance import Importance


def document(study: StudyFacts, importances: list[Importance]) -> Document:
    """The page; sections that have nothing to say are left out."""
    page = Document(f"Study {study.name}", subtitle(study), written(study.versions))
    page.trials = {trial.number: about(trial) for trial in study.trials}
    for key, title, content in (
        ("result", "Result", result_sections.headline(study)),
        ("images", "Distilled images", result_sections.images(study)),
        ("comparison", "Against the default, the base and real images", result_sections.comparison(study)),
        ("search", "The search", study_sections.search(study)),
        ("hyperparameters", "Hyperparameters", study_sections.space(study, importances)),
        ("rungs", "Early stopping", study_sections.early_stopping(study)),
        ("cost", "Cost", study_sections.costs(study)),
        ("trials", "Trials", result_sections.trial_table(study)),
        ("failures", "Failures", study_sections.failures(study)),
        ("reproduce", "Making it again", study_sections.reproduce(study)),
    ):
        page.add(key, title, content)
    return page


def subtitle(study: StudyFacts) -> str:
    """Method, data, images per class and trials in a line."""
    config, status = study.config, study.status
    count = sum(status.outcomes.values())
    asked = f"{count} of {status.asked} trials" if count < status.asked else f"{count} trials"
    return (
        f"{study.method}, {os.path.basename(config.data.name.rstrip('/'))}, {config.ipc} images per class; "
        f"{asked} of {config.iterations or 'the paper’s'} {study.unit}, {config.search.sampler} sampler"
    )


def written(versions: dict[str, str | None]) -> str:
    """When and by what a page was written."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"Written {now} by raydd {versions.get('raydd') or ''}. Accuracies on validation data are search estimates; "
        "the confirmed figure is the one on test data."
    )
