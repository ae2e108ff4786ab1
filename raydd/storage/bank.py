"""The target bank: statistics of the real side, computed by one trial and found again by all others.

The real side of an iteration depends on nothing that is searched, so its statistics are the same for every
trial of a study (common random numbers) and for the arms of a confirmation that share a seed. What is
read is bit for bit what would have been computed; what cannot be stored is computed again. Where networks
are trained from iteration to iteration, the newest state of that training is kept beside the blocks.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from raydd.errors import ConfigError
from raydd.files import digest, write_bytes, write_json

BLOCK = 10  # iterations of one file: few files, and little is lost when a trial ends within a block
LIMIT_GB = 4.0
KEEP_FREE_GB = 5.0

CHAIN = "chain"

Statistics = Mapping[str, torch.Tensor]


def _no_state() -> Statistics:
    return {}


class TargetBank:
    """Folder `<root>/<key>/` with one safetensors file for every block of iterations.

    Args:
        root: folder of all banks.
        facts: everything that the statistics depend on, JSON-able; the key is their digest.
        device: where statistics are returned.
    """

    def __init__(self, root: Path, facts: Mapping[str, Any], device: torch.device) -> None:
        self.facts = dict(facts)
        self.folder = root / digest(self.facts)[:32]
        self.device = device
        self.limit = limit_gb() * 2**30
        self._damaged = False
        self._number = -1
        self._read: dict[str, torch.Tensor] | None = None
        self._made: dict[int, Statistics] = {}

    def get(
        self,
        iteration: int,
        compute: Callable[[], Statistics],
        state: Callable[[], Statistics] = _no_state,
    ) -> Statistics:
        """Statistics of `iteration`, read where a whole block was stored, otherwise computed.

        Args:
            iteration: >= 0.
            compute: makes the statistics as named float32 tensors on the bank's device.
            state: what later iterations continue from, after `compute`; `position` among its tensors says
                which iteration it stands at. Empty where iterations stand alone.
        """
        number, within = divmod(iteration, BLOCK)
        if number != self._number:
            self._number, self._made, self._read = number, {}, self._load(number)
        if self._read is not None:
            prefix = f"{within}/"
            return {
                name.removeprefix(prefix): tensor.to(self.device)
                for name, tensor in self._read.items()
                if name.startswith(prefix)
            }
        made = compute()
        self._made[within] = {name: tensor.cpu() for name, tensor in made.items()}
        if len(self._made) == BLOCK and self._store(number):
            self._keep_chain(state())
        return made

    def chain_position(self, iteration: int) -> int:
        """The highest position, at most `iteration`, whose state is kept; -1 where there is none."""
        kept = [int(path.stem) for path in self._chains() if path.stem.isdigit()]
        return max((position for position in kept if position <= iteration), default=-1)

    def chain(self, position: int) -> dict[str, torch.Tensor] | None:
        """The state kept at `position`, on the CPU; None where it cannot be read."""
        try:
            return safetensors.torch.load_file(self._chain_path(position))
        except (OSError, safetensors.SafetensorError):
            return None

    def _chains(self) -> list[Path]:
        return list((self.folder / CHAIN).glob("*.safetensors"))

    def _chain_path(self, position: int) -> Path:
        return self.folder / CHAIN / f"{position:06d}.safetensors"

    def _keep_chain(self, state: Statistics) -> None:
        if not state:
            return
        position = int(state["position"])
        with contextlib.suppress(OSError):
            tensors = {name: tensor.contiguous() for name, tensor in state.items()}
            write_bytes(self._chain_path(position), safetensors.torch.save(tensors))
            for path in self._chains():
                if path.stem.isdigit() and int(path.stem) < position:
                    path.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.safetensors"

    def _load(self, number: int) -> dict[str, torch.Tensor] | None:
        self._damaged = False
        try:
            return safetensors.torch.load_file(self._path(number))
        except FileNotFoundError:
            return None
        except (OSError, safetensors.SafetensorError):
            self._damaged = True
            return None

    def _store(self, number: int) -> bool:
        """Whether the block was stored."""
        tensors = {
            f"{within}/{name}": tensor.contiguous()
            for within, statistics in self._made.items()
            for name, tensor in statistics.items()
        }
        self._made = {}
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        # A bank saves time; a full disk or a lost race must never cost a trial.
        with contextlib.suppress(OSError):
            if (self._path(number).exists() and not self._damaged) or not self._room_for(size):
                return False
            if not (self.folder / "facts.json").exists():
                write_json(self.folder / "facts.json", self.facts)
            write_bytes(self._path(number), safetensors.torch.save(tensors))
            return True
        return False

    def _room_for(self, size: int) -> bool:
        root = self.folder.parent
        root.mkdir(parents=True, exist_ok=True)
        used = sum(entry.stat().st_size for entry in root.glob("*/*.safetensors"))
        return used + size <= self.limit and shutil.disk_usage(root).free - size >= KEEP_FREE_GB * 2**30


def limit_gb() -> float:
    """Size that all banks of a home may have together, in GiB: `RAYDD_BANK_GB`, or 4.

    Raises:
        ConfigError: the variable is no number.
    """
    text = os.environ.get("RAYDD_BANK_GB", "")
    try:
        return float(text) if text else LIMIT_GB
    except ValueError:
        raise ConfigError(f"RAYDD_BANK_GB: {text!r} is no number of GiB") from None
