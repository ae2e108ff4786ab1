"""What lies in a home and may be deleted: what no study needs, and what everybody can make again.

Whether an asset is needed cannot always be known: a study that runs, or that has not written down its assets yet, may
be about to use it. Nothing is deleted then, and the reason is told.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from raydd import config as configuration
from raydd import files
from raydd.errors import RayddError, StudyError
from raydd.tuning import disk
from raydd.tuning.studies import Study

STUDY, USED, UNUSED, BANK = "study", "asset in use", "unused asset", "target bank"
RAY, TEMPORARY, COMPARISON, STORE, ARTIFACTS, OTHER = (
    "ray leftover",
    "temporary leftover",
    "comparison",
    "mlflow store",
    "artifacts",
    "other",
)
KINDS = (STUDY, USED, UNUSED, BANK, RAY, TEMPORARY, COMPARISON, STORE, ARTIFACTS, OTHER)

IDLE_SECONDS = 3600.0  # younger temporary files and assets may belong to a process that is at work
REPORTS = "reports"  # folder of comparisons of several studies
REMOVED = ".removed"
"""Folder that things are moved into before they are deleted, so that none is ever there in part."""

ASSET = re.compile(r"[a-z0-9_]+-[0-9a-f]{16}")
TEMPORARY_NAME = re.compile(
    r"\.(.+\.(json|jsonl|yaml|safetensors|png|txt|html)|\d+|[a-z0-9_]+-[0-9a-f]{16})\.([a-z0-9_]{8}|\d+)"
)
"""As `raydd.files` and `raydd.storage.trial` name what they are still writing."""

HEADER_BYTES = 64 * 2**20  # of a safetensors file; a longer header is no distilled set's
NOT_SETS = frozenset({"attempts", "checkpoints", "ray", REMOVED})


@dataclass(frozen=True)
class Item:
    """Something that lies in a home.

    Attributes:
        kind: one of `KINDS`.
        path: of a file or folder.
        size: bytes.
        deletable: whether `sweep` deletes it.
        why: it is not deletable although others of its kind are; or empty.
        study: folder of the study that it belongs to, whose lock has to be free.
    """

    kind: str
    path: Path
    size: int
    deletable: bool = False
    why: str = ""
    study: Path | None = None


def survey(home: str | Path) -> list[Item]:
    """Everything in a home with its size, by kind; nothing is changed.

    Raises:
        StudyError: there is no such folder.
    """
    home = files.absolute(home)
    if not home.is_dir():
        raise StudyError(f"home: there is no folder {home}")
    studies = [Study(home / "studies" / name) for name in Study.names(home)]
    running = [study for study in studies if study.is_running()]
    items = [*_of_studies(home, studies, running), *_assets(home, studies, running), *_banks(home, running)]
    items += _comparisons(home)
    items += [Item(STORE, path, disk.usage_of(path)) for path in sorted(home.glob("mlflow.db*"))]
    if (home / "artifacts").exists():
        items.append(Item(ARTIFACTS, home / "artifacts", disk.usage_of(home / "artifacts")))
    rest = disk.usage_of(home) - sum(item.size for item in items)
    if rest > 0:
        items.append(Item(OTHER, home, rest))
    return sorted(items, key=lambda item: (KINDS.index(item.kind), item.path))


def sweep(items: list[Item]) -> list[Item]:
    """Delete what is deletable, and look once more before each; returns what became of it.

    Returns:
        The deletable items; those that were not deleted after all say why.
    """
    return [_delete(item) for item in items if item.deletable]


def check_removable(study: Study) -> None:
    """Refuse what `remove` would not delete.

    Raises:
        StudyError: it runs, or its folder is a link to elsewhere.
    """
    if study.folder.is_symlink():
        raise StudyError(
            f"study {study.name!r} is a link to {study.folder.resolve()}; delete that folder and the link yourself"
        )
    if study.is_running():
        raise StudyError(
            f"study {study.name!r} is running, by {study.holder() or 'another process'}; "
            f"`raydd stop {study.name}` first"
        )


def remove(study: Study) -> None:
    """Delete a study's folder.

    Raises:
        StudyError: it runs, or its folder is a link to elsewhere.
    """
    check_removable(study)
    study.lock()  # so that nobody begins to run it
    try:
        _discard(study.folder)
    finally:
        study.unlock()


# -- studies -------------------------------------------------------------------------------------------------


def _of_studies(home: Path, studies: list[Study], running: list[Study]) -> Iterator[Item]:
    for study in studies:
        why = "its study is running" if study in running else ""
        if study.folder.is_symlink():
            why = f"{study.folder} is a link to elsewhere"
        ray = study.folder / "ray"
        parts = [Item(RAY, ray, disk.usage_of(ray))] if ray.exists() else []
        for path in _leftovers(study.folder, avoided=ray):
            parts.append(Item(TEMPORARY, path, disk.usage_of(path)))
        for part in parts:
            yield replace(part, deletable=not why, why=why, study=study.folder)
        yield Item(STUDY, study.folder, disk.usage_of(study.folder) - sum(part.size for part in parts))
    for path in _removed(home / "studies"):
        yield Item(TEMPORARY, path, disk.usage_of(path), deletable=True)


def _leftovers(folder: Path, avoided: Path | None = None) -> Iterator[Path]:
    """Temporary files and folders that their process, which is gone, did not come to rename."""
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path = Path(entry.path)
            if TEMPORARY_NAME.fullmatch(entry.name):
                if _idle(path):
                    yield path
            elif entry.is_dir(follow_symlinks=False) and entry.name != REMOVED and path != avoided:
                yield from _leftovers(path)
    yield from _removed(folder)


def _removed(folder: Path) -> list[Path]:
    return [path for path in (folder / REMOVED).glob("*") if _idle(path)]


def _idle(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > IDLE_SECONDS
    except OSError:
        return False


# -- assets --------------------------------------------------------------------------------------------------


def _assets(home: Path, studies: list[Study], running: list[Study]) -> Iterator[Item]:
    root = home / "assets"
    if not root.exists():
        return
    shared, needed = _shared(root, studies), _needed(home, studies)
    doubt = shared or needed.doubt
    if running and not doubt:
        doubt = f"study {running[0].name} is running and may be about to use it"
    for path in sorted(root.glob("*")):
        if not ASSET.fullmatch(path.name) or not path.is_dir():
            continue
        size = disk.usage_of(path)
        if needed.names(path):
            yield Item(USED, path, size)
        else:
            why = doubt or ("" if _idle(path) else "it was made within the last hour")
            yield Item(UNUSED, path, size, deletable=not why, why=why)
    for path in _leftovers(root):
        yield Item(TEMPORARY, path, disk.usage_of(path), deletable=not shared, why=shared)


@dataclass
class Needed:
    """What studies and distilled sets say of the assets that they need.

    Attributes:
        keys: first 16 digits of keys, with which folders' names end.
        digests: sha256 of weights.
        named: folders.
        doubt: why there may be more that nobody wrote down; or empty.
    """

    keys: set[str] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    doubt: str = ""

    def names(self, folder: Path) -> bool:
        """Whether the asset in `folder` is among them."""
        if folder.name in self.named or folder.name.rpartition("-")[2] in self.keys:
            return True
        try:
            return files.read_json(folder / "asset.json")["sha256"] in self.digests
        except (OSError, ValueError, KeyError, TypeError):
            return False


def _needed(home: Path, studies: list[Study]) -> Needed:
    needed = Needed(named=_named_by_sets(home))
    for study in studies:
        if not (study.folder / "measured.json").exists():
            needed.doubt = (
                f"study {study.name} has not written down its assets yet; resume or remove it first"
            )
        try:
            for name in ("assets.json", "confirm/assets.json"):
                for record in _read(study.folder / name) or []:
                    needed.keys.add(record["key"][:16])
                    needed.digests.add(record["sha256"])
            # The network that a report's baselines share is known by its weights alone.
            prepared = _read(study.folder / "confirm" / "baselines.json")
            if prepared:
                needed.digests.add(prepared["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            needed.doubt = f"study {study.name} has a damaged file that says what it needs"
    return needed


def _named_by_sets(home: Path) -> set[str]:
    """Names of assets in the manifests of all distilled sets: a teacher labels whoever trains on them."""
    found: set[str] = set()
    for top in home.glob("*"):
        if top.name not in ("assets", "bank"):
            for path in (entry.path for entry in disk.walk(top, NOT_SETS)) if top.is_dir() else [str(top)]:
                if path.endswith(".safetensors"):
                    found.update(ASSET.findall(_header(path)))
    return found


def _header(path: str) -> str:
    """What a safetensors file says of itself; empty where it is none."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            return file.read(length).decode(errors="replace") if length <= HEADER_BYTES else ""
    except OSError:
        return ""


def _shared(root: Path, studies: list[Study]) -> str:
    """Why other homes may use what lies in the folder of assets; empty where there is no sign of that."""
    named = [configuration.default_assets()]
    for study in studies:
        with contextlib.suppress(RayddError):
            named.append(study.config.resources.assets)
    if root.is_symlink() or any(each and files.absolute(each) == root for each in named):
        return f"{root} is a folder that other homes may share"
    return ""


def _read(path: Path) -> Any:
    return files.read_json(path) if path.exists() else None


# -- banks ---------------------------------------------------------------------------------------------------


def _banks(home: Path, running: list[Study]) -> Iterator[Item]:
    root = home / "bank"
    why = f"study {running[0].name} is running and may be reading it" if running else ""
    if root.is_symlink():
        why = f"{root} is a link to elsewhere"
    for path in sorted(root.glob("*")):
        if path.is_dir() and path.name != REMOVED:
            yield Item(BANK, path, disk.usage_of(path), deletable=not why, why=why)
    for path in _removed(root):
        yield Item(TEMPORARY, path, disk.usage_of(path), deletable=True)


# -- comparisons ---------------------------------------------------------------------------------------------


def _comparisons(home: Path) -> Iterator[Item]:
    """Reports of several studies, which stay: they cannot be made again once one of their studies is gone."""
    for folder in sorted(path for path in (home / REPORTS).glob("*") if path.is_dir()):
        parts = [Item(TEMPORARY, path, disk.usage_of(path), deletable=True) for path in _leftovers(folder)]
        yield from parts
        yield Item(COMPARISON, folder, disk.usage_of(folder) - sum(part.size for part in parts))


# -- deleting ------------------------------------------------------------------------------------------------


def _delete(item: Item) -> Item:
    lock = None if item.study is None else files.FileLock(item.study / "lock")
    try:
        if lock is not None and not lock.acquire():
            return replace(item, deletable=False, why="its study has been started meanwhile")
        if item.kind in (UNUSED, BANK) and _begun_meanwhile(item.path.parents[1]):
            return replace(item, deletable=False, why="a study has been started meanwhile, and may need it")
        if item.path.is_dir() and not item.path.is_symlink():
            _discard(item.path)
        else:
            item.path.unlink(missing_ok=True)
    except OSError as error:
        return replace(item, deletable=False, why=f"{error.filename}: {error.strerror}")
    finally:
        if lock is not None:
            lock.release()
    return item


def _begun_meanwhile(home: Path) -> bool:
    return any(Study(home / "studies" / name).is_running() for name in Study.names(home))


def _discard(folder: Path) -> None:
    """Move a folder out of the way and delete it: whoever looks meanwhile finds all of it or nothing."""
    removed = folder.parent if folder.parent.name == REMOVED else folder.parent / REMOVED
    target = folder
    if removed != folder.parent:
        removed.mkdir(exist_ok=True)
        target = removed / f"{folder.name}.{secrets.token_hex(4)}"
        os.replace(folder, target)
    shutil.rmtree(target)
    with contextlib.suppress(OSError):  # something else is being removed
        removed.rmdir()
