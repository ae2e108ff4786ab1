"""The errors that raydd raises on purpose, each with one sentence for the person who reads it.

Every message names the value that was given and what is allowed. The command line prints the
sentence and exits with `RayddError.exit_code`; nothing else of the program needs to know about exit codes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RayddError(Exception):
    """Base of all errors that are the user's to mend; `exit_code` is the process's exit status."""

    exit_code = 2


class ConfigError(RayddError):
    """One or several fields of a configuration are wrong.

    Args:
        problems: one sentence a field, each starting with the field's path (`confirm.top: ...`).
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[list[str]]]:
        return type(self), (self.problems,)


class DataError(RayddError):
    """A dataset is unknown, missing, empty, corrupt or too small for what was asked."""


class SpaceError(RayddError):
    """A hyperparameter is unknown, or its value lies outside what the method allows."""


class ArtifactError(RayddError):
    """A file that raydd should read is missing, corrupt or of another kind."""


class StudyError(RayddError):
    """A study's folder cannot be used as asked: its name is taken, it is locked, or it is missing."""


class TrackingError(RayddError):
    """The tracking store cannot be reached before anything was started."""


class TrackingAway(TrackingError):
    """A tracking server does not answer."""


class StageFailed(RayddError):
    """The study ran, and ended without a finished trial or with a stage that failed."""

    exit_code = 1


class StudyStopped(RayddError):
    """The study was stopped before its end, by a signal, by somebody, or by its budget, and can be resumed."""

    exit_code = 75


class TrialDiverged(RayddError):
    """A loss, a gradient or a pixel became NaN or infinite; the trial ends as `diverged`."""

    exit_code = 1


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Say that `name` is not one of `allowed`, with the nearest allowed name if one is near.

    >>> unknown("method", "idd", ["dm", "iid"])
    "unknown method 'idd': did you mean 'iid'? (allowed: dm, iid)"
    """
    choices = sorted(allowed)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    hint = f": did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}{hint} (allowed: {', '.join(choices) or 'none'})"
