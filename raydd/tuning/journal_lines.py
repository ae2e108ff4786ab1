"""How the trials of a study ended and with what value, from Optuna's journal: one file instead of two for each trial.

The journal is read line by line and not through Optuna, which takes seconds to be imported and reads every parameter.
"""

from __future__ import annotations

import json
from pathlib import Path

STATE_LINES = (b'{"op_code":6,', b'{"op_code": 6,')
"""How the line of a state begins; as the other numbers here, a part of the journal's format."""

ENDS = {1: "complete", 2: "pruned", 3: "failed"}
"""Optuna's finished states. It tells trials that diverged from those that failed as little as we need to."""


def ends(journal: Path) -> dict[int, tuple[str, float | None]]:
    """Trials that have ended: number to `complete`, `pruned` or `failed` and the final value, None where it has none.

    Args:
        journal: of one study; a missing one holds no trials.
    """
    found: dict[int, tuple[str, float | None]] = {}
    try:
        with journal.open("rb") as lines:
            for line in lines:
                if line.startswith(STATE_LINES):
                    _take_in(line, found)
    except FileNotFoundError:
        pass
    return found


def _take_in(line: bytes, found: dict[int, tuple[str, float | None]]) -> None:
    try:
        row = json.loads(line)
    except ValueError:  # a last line that is just being written
        return
    number, state, values = row.get("trial_id"), ENDS.get(row.get("state")), row.get("values")
    if state is not None and number not in found:  # of several ends Optuna keeps the first
        found[number] = (state, float(values[0]) if values else None)
