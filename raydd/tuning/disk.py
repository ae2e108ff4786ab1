"""What lies on the disk: how much, and since when."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

QUIET = ("lock", "holder.json")
"""Files that somebody who only looks at a study may touch."""


@dataclass(frozen=True)
class Usage:
    """What lies below a path.

    Attributes:
        size: bytes of all files, one with several links counted once.
        newest: when the newest of them was written, in seconds since 1970; 0 without files.
    """

    size: int = 0
    newest: float = 0.0


def usage(path: Path) -> Usage:
    """What `path` and all below it take; links to elsewhere are not followed, and what is missing takes nothing."""
    size, newest = 0, 0.0
    linked: set[tuple[int, int]] = set()
    for entry in walk(path):
        try:
            facts = entry.stat(follow_symlinks=False)
        except OSError:  # deleted meanwhile
            continue
        if facts.st_nlink > 1:  # a trial's folder shows files of its attempts
            if (facts.st_dev, facts.st_ino) in linked:
                continue
            linked.add((facts.st_dev, facts.st_ino))
        size += facts.st_size
        if facts.st_mtime > newest and entry.name not in QUIET:
            newest = facts.st_mtime
    return Usage(size, newest)


def usage_of(path: Path) -> int:
    """Bytes that a file, or a folder with all that is below it, takes."""
    if path.is_dir():
        return usage(path).size
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def walk(path: Path, skipped: frozenset[str] = frozenset()) -> Iterator[os.DirEntry[str]]:
    """All files below `path`, but for folders of these names; a folder that cannot be read has none."""
    waiting = [str(path)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        yield entry
                    elif entry.name not in skipped:
                        waiting.append(entry.path)
        except OSError:
            continue
