"""`TrialFiles`: the files of one trial, written by one attempt at a time and read by everybody.

A trial may be attempted several times: its driver, its worker or its node dies, and another worker goes on. The one
that was cut off may still run, unseen, on the other side of a broken link. So every attempt writes into a folder of
its own and nowhere else, and a reader follows the chain from the newest attempt back to the checkpoints that each
one went on from: what a cut-off attempt writes afterwards belongs to no chain.

    trials/<number>/attempts/<k>/begun.json            where, when, and from which checkpoint
                                 history.jsonl         every report
                                 checkpoints/<i>/      state.safetensors, state.json, report.json
                                 distilled.safetensors, grid.png, pictures/    of the last evaluation
                                 previews/<i>.png      the grid at every evaluation
                                 failed.json           why it ended, if it failed; traceback in error.txt
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from raydd import files

KEPT_CHECKPOINTS = 2
PREVIEWS = "previews"
PUBLISHED = ("distilled.safetensors", "grid.png", "pictures")


@dataclass(frozen=True)
class Checkpoint:
    """A state to go on from.

    Attributes:
        folder: with `state.safetensors` and `state.json`.
        attempt: that wrote it.
        iteration: that it stands at.
    """

    folder: Path
    attempt: int
    iteration: int

    def load(self) -> dict[str, Any]:
        """What is needed to go on.

        Returns:
            `state`: tensors and scalars for `Distiller.load_state_dict`; `report`: the row that was reported here, or
            None; `since`: what the attempt had added up since its last report.

        Raises:
            OSError, ValueError, safetensors.SafetensorError: it is damaged.
        """
        tensors = safetensors.torch.load_file(self.folder / "state.safetensors")
        saved = files.read_json(self.folder / "state.json")
        path = self.folder / "report.json"
        report = files.read_json(path) if path.exists() else None
        return {"state": {**tensors, **saved["scalars"]}, "since": saved["since"], "report": report}


class Attempt:
    """What one attempt may write.

    Args:
        trial: its trial.
        number: >= 1.
    """

    def __init__(self, trial: TrialFiles, number: int) -> None:
        self.trial, self.number = trial, number
        self.folder = trial.attempt_folder(number)

    def begin(self, origin: Checkpoint | None, facts: Mapping[str, Any]) -> None:
        """Note where the attempt goes on from; from here on the trial's files are this attempt's."""
        came_from = None if origin is None else [origin.attempt, origin.iteration]
        files.write_json(self.folder / "begun.json", {"from": came_from, **facts})

    def superseded(self) -> bool:
        """Whether a later attempt was begun, so that nothing that this one does counts any more."""
        return self.trial.attempt_folder(self.number + 1).exists()

    def report(self, row: Mapping[str, Any]) -> None:
        """Append a report."""
        files.append_jsonl(self.folder / "history.jsonl", row)

    def checkpoint(self, iteration: int, state: Mapping[str, Any], since: Mapping[str, Any]) -> int:
        """Write a checkpoint, and delete those that nobody needs after it; one that is there already stays.

        Args:
            iteration: that it stands at.
            state: of the distiller: tensors and JSON scalars.
            since: JSON-able, what was added up since the last report.

        Returns:
            Its size in bytes; 0 where it was there.
        """
        folder = self.folder / "checkpoints" / str(iteration)
        if folder.exists():
            return 0
        tensors = {
            name: value.contiguous() for name, value in state.items() if isinstance(value, torch.Tensor)
        }
        scalars = {name: value for name, value in state.items() if name not in tensors}
        content = safetensors.torch.save(tensors)
        with files.atomic_folder(folder) as temporary:
            files.write_bytes(temporary / "state.safetensors", content)
            files.write_json(temporary / "state.json", {"scalars": scalars, "since": since})
        self._tidy()
        return len(content)

    def reported(self, iteration: int, row: Mapping[str, Any]) -> None:
        """Put the report that was made at a checkpoint beside it: whoever goes on from there reports it again."""
        folder = self.folder / "checkpoints" / str(iteration)
        if folder.exists():  # a successor may have tidied up behind an attempt that was cut off
            files.write_json(folder / "report.json", row)

    def failed(self, kind: str, why: str, text: str, *, session: int, iteration: int) -> None:
        """Note why the attempt ended, if that can be written: a full disk must not hide the reason.

        Args:
            kind: see `raydd.failures`.
            why: one sentence.
            text: the traceback.
            session: of the driver that it ran for.
            iteration: that it began at.
        """
        note = {"kind": kind, "why": why, "session": session, "iteration": iteration}
        with contextlib.suppress(OSError):
            files.write_text(self.folder / "error.txt", text)
            files.write_json(self.folder / "failed.json", note)

    def keep_preview(self, iteration: int) -> None:
        """Keep the grid of this evaluation, which the next one replaces."""
        _link(self.folder / "grid.png", self.folder / PREVIEWS / preview_name(iteration))

    def stopped(self, seconds: float) -> None:
        """Note how long an attempt has lasted that was asked to stop between two reports."""
        files.write_json(self.folder / "stopped.json", {"seconds": seconds})

    def _tidy(self) -> None:
        own = [found for found in self.trial.checkpoints() if found.attempt == self.number]
        for old in own[KEPT_CHECKPOINTS:]:
            shutil.rmtree(old.folder, ignore_errors=True)
        if len(own) >= KEPT_CHECKPOINTS:  # enough of its own, so those of earlier attempts have served
            for found in self.trial.checkpoints():
                if found.attempt < self.number:
                    shutil.rmtree(found.folder, ignore_errors=True)


class TrialFiles:
    """The files of a trial.

    Args:
        folder: `<study>/trials/<number>`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def attempt_folder(self, number: int) -> Path:
        """Where an attempt writes."""
        return self.folder / "attempts" / str(number)

    def attempts(self) -> list[int]:
        """Numbers of all attempts, ascending."""
        found = (self.folder / "attempts").glob("*")
        return sorted(int(path.name) for path in found if path.name.isdigit())

    def claim(self) -> Attempt:
        """A new attempt, which supersedes all before it; of several processes at once each gets its own."""
        (self.folder / "attempts").mkdir(parents=True, exist_ok=True)
        number = max(self.attempts(), default=0) + 1
        while True:
            try:
                self.attempt_folder(number).mkdir()
                return Attempt(self, number)
            except FileExistsError:
                number += 1

    def checkpoints(self) -> list[Checkpoint]:
        """All that there are, of the farthest iteration first and of the newest attempt among equals."""
        found = []
        for attempt in self.attempts():
            for path in (self.attempt_folder(attempt) / "checkpoints").glob("*"):
                if path.name.isdigit() and (path / "state.json").exists():
                    found.append(Checkpoint(path, attempt, int(path.name)))
        return sorted(found, key=lambda one: (-one.iteration, -one.attempt))

    def chain(self) -> list[tuple[int, int | None]]:
        """Attempts that the trial consists of, oldest first, each with the last iteration that counts; None: all do."""
        chain: list[tuple[int, int | None]] = []
        begun = [
            number for number in self.attempts() if (self.attempt_folder(number) / "begun.json").exists()
        ]
        number, limit = (begun[-1] if begun else None), None
        while number is not None and all(number < other for other, _ in chain):
            chain.append((number, limit))
            origin = self._read(number, "begun.json").get("from")
            number, limit = (None, None) if origin is None else (int(origin[0]), int(origin[1]))
        return chain[::-1]

    def history(self) -> list[dict[str, Any]]:
        """All reports that count, in the order of their iterations."""
        history: list[dict[str, Any]] = []
        for number, limit in reversed(self.chain()):
            rows = files.read_jsonl(self.attempt_folder(number) / "history.jsonl")
            if limit is not None:
                # A report that was written, and made again because its checkpoint was not, is the later one.
                again = {int(row["iteration"]) for row in history}
                rows = [row for row in rows if row["iteration"] <= limit and row["iteration"] not in again]
            history = rows + history
        return history

    def previews(self) -> dict[int, Path]:
        """The grid of the images at every evaluation that counts, by iteration, ascending."""
        found: dict[int, Path] = {}
        for number, limit in self.chain():
            for path in (self.attempt_folder(number) / PREVIEWS).glob("*.png"):
                if path.stem.isdigit() and (limit is None or int(path.stem) <= limit):
                    found[int(path.stem)] = path
        return dict(sorted(found.items()))

    def failures(self) -> list[dict[str, Any]]:
        """Why attempts ended that failed (`attempt`, and what `Attempt.failed` notes), oldest first."""
        found = []
        for number in self.attempts():
            failed = self._read(number, "failed.json")
            if failed:
                found.append({"attempt": number, **failed})
        return found

    def seconds(self) -> dict[int, float]:
        """How long each attempt has lasted, as far as it was written down, whether it counts or not."""
        found = {}
        for number in self.attempts():
            rows = files.read_jsonl(self.attempt_folder(number) / "history.jsonl")
            reported = max((float(row["seconds"]) for row in rows), default=0.0)
            found[number] = max(reported, float(self._read(number, "stopped.json").get("seconds", 0.0)))
        return found

    def begun(self, number: int) -> dict[str, Any]:
        """Where and when an attempt began, and what it went on from; {} before it did."""
        return self._read(number, "begun.json")

    def error_text(self) -> str:
        """The newest traceback, or nothing."""
        for number in reversed(self.attempts()):
            path = self.attempt_folder(number) / "error.txt"
            if path.exists():
                return path.read_text()
        return ""

    def publish(self) -> None:
        """Let the trial's own folder show the newest set; only who holds the study's lock may do so."""
        for number, _ in reversed(self.chain()):
            folder = self.attempt_folder(number)
            if (folder / "distilled.safetensors").exists():
                for path in _files_of(folder):
                    _link(path, self.folder / path.relative_to(folder))
                return

    def drop_checkpoints(self) -> None:
        """Delete all checkpoints: the trial has ended."""
        for found in self.checkpoints():
            shutil.rmtree(found.folder, ignore_errors=True)

    def _read(self, number: int, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = files.read_json(self.attempt_folder(number) / name)
        except (OSError, ValueError):
            return {}
        return found


def preview_name(iteration: int) -> str:
    """File of a preview; names sort as the iterations do."""
    return f"{iteration:06d}.png"


def _files_of(folder: Path) -> Iterator[Path]:
    for name in PUBLISHED:
        path = folder / name
        yield from sorted(path.glob("*")) if path.is_dir() else [path] * path.exists()


def _link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, or a copy of it where links cannot be made."""
    with contextlib.suppress(OSError):
        if target.samefile(source):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
