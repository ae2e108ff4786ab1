"""Reports as files: `report.html` and its PNGs in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raydd import files
from raydd.errors import ConfigError

if TYPE_CHECKING:
    from raydd.tuning.studies import Study

FOLDER, PAGE = "report", "report.html"
OURS = b'<meta name="generator" content="raydd">'
LONGEST = 120  # of a folder's name, in letters


def write_report(study: Study, folder: Path | None = None) -> list[Path]:
    """Write a study's report; one that was written before is replaced.

    Args:
        study: in any state; nothing but its folder is read.
        folder: where to; None is `report` in the study's folder.

    Returns:
        The files, `report.html` first.

    Raises:
        ConfigError: `folder` holds files of these names that no report has left there.
        RayddError: the study cannot be read.
        OSError: the folder cannot be written.
    """
    from raydd.report.page import facts, pngs, study_page
    from raydd.report.page.importance import importances

    target = folder or study.folder / FOLDER
    if folder is not None:
        _check(folder)
    read = facts.read(study)
    found = importances(list(read.drawn.values()), read.config.seed)
    page = target / PAGE
    files.write_text(page, study_page.document(read, found).html())
    return [page, *_replace(target, pngs.of_study(read, found))]


def write_comparison(studies: Sequence[Study], folder: Path | None = None) -> list[Path]:
    """Write the comparison of several studies into `folder`, by default `comparison_folder`; see `write_report`."""
    from raydd.report.page import compared_page, facts, pngs

    target = folder or comparison_folder(studies)
    if folder is not None:
        _check(folder)
    read = [facts.read(study) for study in studies]
    page = target / PAGE
    files.write_text(page, compared_page.document(read).html())
    return [page, *_replace(target, pngs.of_comparison(read))]


def comparison_folder(studies: Sequence[Study]) -> Path:
    """Where a comparison goes unless told: `reports/a+b+c` in the home of the first study.

    No study's name holds a plus, and a name that is too long ends in the digest of all of it, so that every comparison
    has a folder of its own.
    """
    from raydd.tuning.cleaning import REPORTS

    name = "+".join(study.name for study in studies)
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - 13]}+{files.digest(name)[:12]}"
    return studies[0].home / REPORTS / name


def _check(folder: Path) -> None:
    """Refuse a folder of somebody's where a report would replace or delete what is not of a report."""
    from raydd.report.page.pngs import NAMES

    page = folder / PAGE
    if page.is_file():
        with page.open("rb") as file:
            if OURS in file.read(4096):
                return
    for name in (PAGE, *(f"{name}.png" for name in NAMES)):
        if (folder / name).exists():
            raise ConfigError(
                f"--out: {folder} holds a {name} that no report has left there, and one would replace it; name another "
                "folder"
            )


def _replace(folder: Path, pictures: dict[str, bytes]) -> list[Path]:
    """Write PNGs, and delete those that an earlier report had and this one has not."""
    from raydd.report.page.pngs import NAMES

    for name in NAMES:
        if name not in pictures:
            (folder / f"{name}.png").unlink(missing_ok=True)
    for name, content in pictures.items():
        files.write_bytes(folder / f"{name}.png", content)
    return [folder / f"{name}.png" for name in pictures]
