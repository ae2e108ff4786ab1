"""The winner that a re-ranking froze: what it was chosen from, and how it is set aside when further trials join."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd import files
from raydd.tuning.studies import complete

if TYPE_CHECKING:
    from raydd.tuning.studies import Study

WINNER, REPORT, HISTORY = "winner.json", "report.json", "history"


def candidates(study: Study) -> list[int]:
    """Numbers of the complete trials, ascending: those that a winner is chosen from."""
    return sorted(trial.number for trial in complete(study.trials()))


def winner(study: Study) -> dict[str, Any] | None:
    """The ranking with the frozen winner; None before there is one, and where trials have joined since."""
    path = study.folder / "confirm" / WINNER
    if not path.exists():
        return None
    ranking: dict[str, Any] = files.read_json(path)
    return ranking if ranking.get("candidates") == candidates(study) else None


def retire(study: Study) -> Path | None:
    """Move a winner that is frozen, and its report, to `confirm/history/<k>/`.

    What was distilled and evaluated stays where it is and is used again; so does the ledger of test readings.

    Returns:
        The folder; None where no winner was frozen.
    """
    folder = study.folder / "confirm"
    if not (folder / WINNER).exists():
        return None
    earlier = history(study)
    if earlier and (earlier[-1] / WINNER).read_bytes() == (folder / WINNER).read_bytes():
        target = earlier[-1]  # a driver died between copying and deleting
    else:
        target = folder / HISTORY / str(len(earlier) + 1)
        with files.atomic_folder(target) as temporary:
            for name in (WINNER, REPORT):
                if (folder / name).exists():
                    shutil.copyfile(folder / name, temporary / name)
    (folder / REPORT).unlink(missing_ok=True)
    (folder / WINNER).unlink()  # last, because it says that there is something to move
    return target


def history(study: Study) -> list[Path]:
    """Folders of earlier confirmations, oldest first."""
    found = (study.folder / "confirm" / HISTORY).glob("*")
    return sorted((path for path in found if path.name.isdigit()), key=lambda path: int(path.name))
