"""How people name a study and a trial of it: `first`, `first/3`, `first/best`, `first/default`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydd.errors import StudyError
from raydd.tuning.studies import Study

if TYPE_CHECKING:
    from pathlib import Path


def find(home: str | Path, address: str) -> tuple[Study, int | None]:
    """The study, and the trial's number where the address names one.

    Args:
        home: folder of all studies.
        address: `NAME`, or `NAME/TRIAL` with a number, `best` or `default`.

    Raises:
        StudyError: there is no such study or trial; nothing outside the home can be named.
    """
    name, slash, word = address.partition("/")
    study = Study.open(home, name)
    return study, number_of(study, word) if slash else None


def number_of(study: Study, word: str) -> int:
    """Number of the trial that `word` names.

    Raises:
        StudyError: there is none.
    """
    if word == "best":
        best = study.best()
        if best is None:
            raise StudyError(f"study {study.name!r} has no complete trial yet, so there is no best one")
        return best.number
    if word != "default" and not (word.isascii() and word.isdigit()):
        raise StudyError(f"trial {word!r} of study {study.name!r} must be a number, 'best' or 'default'")
    number = 0 if word == "default" else int(word)
    if not (study.trial_folder(number) / "hyperparameters.json").exists():
        raise StudyError(f"study {study.name!r} has no trial {number}; it has {len(study.numbers())} trials")
    return number
