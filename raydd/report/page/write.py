"""Reports as files: `report.html` and its PNGs in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raydd import files

if TYPE_CHECKING:
    from raydd.tuning.studies import Study

FOLDER, PAGE = "report", "report.html"


def write_report(study: Study, folder: Path | None = None) -> list[Path]:
    """Write a study's report; one that was written before is replaced.

    Args:
        study: in any state; nothing but its folder is read.
        folder: where to; None is `report` in the study's folder.

    Returns:
        The files, `report.html` first.

    Raises:
        RayddError: the study cannot be read.
        OSError: the folder cannot be written.
    """
    from raydd.report.page import facts, pngs, study_page
    from raydd.report.page.importance import importances

    target = folder or study.folder / FOLDER
    read = facts.read(study)
    found = importances(list(read.drawn.values()), read.config.seed)
    page = target / PAGE
    files.write_text(page, study_page.document(read, found).html())
    return [page, *_replace(target, pngs.of_study(read, found))]


def write_comparison(studies: Sequence[Study], folder: Path) -> list[Path]:
    """Write the comparison of several studies into `folder`; see `write_report`."""
    from raydd.report.page import compared_page, facts, pngs

    read = [facts.read(study) for study in studies]
    page = folder / PAGE
    files.write_text(page, compared_page.document(read).html())
    return [page, *_replace(folder, pngs.of_comparison(read))]


def comparison_folder(studies: Sequence[Study]) -> Path:
    """Where a comparison goes unless told: `reports/a-b-c` in the home of the first study."""
    return studies[0].home / "reports" / "-".join(study.name for study in studies)[:120]


def _replace(folder: Path, pictures: dict[str, bytes]) -> list[Path]:
    """Write PNGs, and delete those that an earlier report had and this one has not."""
    from raydd.report.page.pngs import NAMES

    for name in NAMES:
        if name not in pictures:
            (folder / f"{name}.png").unlink(missing_ok=True)
    for name, content in pictures.items():
        files.write_bytes(folder / f"{name}.png", content)
    return [folder / f"{name}.png" for name in pictures]
