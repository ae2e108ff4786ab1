"""What to type for a study: commands as every message and `raydd status` give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydd import files
from raydd.config import default_home

if TYPE_CHECKING:
    from raydd.tuning.budget import Budget
    from raydd.tuning.studies import Study

FLAGS = {"hours": "--hours", "gpu_hours": "--gpu-hours"}  # of the budget's fields


def command(study: Study, verb: str, *flags: str) -> str:
    """A command for this study, with `--home` where it would not be found without it."""
    home = [] if study.home == files.absolute(default_home()) else ["--home", str(study.home)]
    return " ".join(["raydd", verb, study.name, *home, *flags])


def raised(budget: Budget) -> list[str]:
    """Flags of `raydd resume` that raise what is spent: without them the search would end at once."""
    return [f"{FLAGS[name]} +H" for name in budget.exhausted()]
