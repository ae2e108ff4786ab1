"""The target bank: statistics of the real side, computed by one trial and found again by all others.

The real side of an iteration depends on nothing that is searched, so its statistics are the same for every
trial of a study (common random numbers) and for the arms of a confirmation that share a seed. What is
read is bit for bit what would have been computed; what cannot be stored is computed again. Where networks
are trained from iteration to iteration, a state of that training is kept beside the blocks, from which trials
go on behind them.

A home's banks are bounded, and IDC shows by what: its gradients are as large as the network, once for each class.
With the default network on CIFAR-10 that is 12.7 MiB an iteration, so that 4 GiB hold the first 323 of the 200,000
iterations of a run at full length: short trials of IDC and UDD and the first rungs of long ones are served, the rest
is computed by every trial. On CIFAR-100 a block would be 1.1 GiB, and none is kept. (DM's means are 0.08 MiB an
iteration on CIFAR-10, with IID's covariances 0.7 MiB.)
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from raydd.errors import ConfigError
from raydd.files import digest, write_bytes, write_json

BLOCK = 10  # iterations of one file: few files, and little is lost when a trial ends within a block
BLOCK_BYTES = 256 * 2**20  # of a larger block nothing is kept: it would be held in memory until it is whole
LIMIT_GB = 4.0
KEEP_FREE_GB = 5.0

CHAIN = "chain"
CHAIN_EVERY = 10  # blocks between states that are larger than their block, as a long queue of networks is

Statistics = Mapping[str, torch.Tensor]


def _no_state() -> Statistics:
    return {}


class TargetBank:
    """Folder `<root>/<key>/` with one safetensors file for every block of iterations, and states in `chain/`.

    A block is stored when it was computed from its first iteration to its last. Whether there is room is asked
    at its first; where there is none, nothing of it is held or copied.

    Args:
        root: folder of all banks.
        facts: everything that the statistics depend on, JSON-able; the key is their digest.
        device: where statistics are returned that are read.
    """

    def __init__(self, root: Path, facts: Mapping[str, Any], device: torch.device) -> None:
        self.facts = dict(facts)
        self.folder = root / digest(self.facts)[:32]
        self.device = device
        self.limit = limit_gb() * 2**30
        self._damaged = False
        self._number = -1
        self._read: dict[str, torch.Tensor] | None = None
        self._holds = False
        self._made: dict[int, Statistics] = {}
        self._state_size = 0  # bytes of the last state that was made

    def get(
        self,
        iteration: int,
        compute: Callable[[], Statistics],
        state: Callable[[], Statistics] = _no_state,
    ) -> Statistics:
        """Statistics of `iteration`, read where a whole block was stored, otherwise computed.

        Args:
            iteration: >= 0.
            compute: makes the statistics as named float32 tensors. They may be held until their block is
                whole, so nobody may change them.
            state: what later iterations continue from, after `compute`; `position` among its tensors says
                which iteration it stands at. Empty where iterations stand alone.

        Returns:
            What `compute` made, on the devices where it made it, or, bit for bit the same, what was read, all of
            it on the bank's device.
        """
        number, within = divmod(iteration, BLOCK)
        if number != self._number:
            self._number, self._made, self._read = number, {}, self._load(number)
            self._holds = False
        if self._read is not None:
            prefix = f"{within}/"
            return {
                name.removeprefix(prefix): tensor.to(self.device)
                for name, tensor in self._read.items()
                if name.startswith(prefix)
            }
        made = compute()
        if within == 0:  # a block that is entered later will not be whole
            self._made, self._holds = {}, self._takes(BLOCK * _bytes(made))
        if self._holds:
            self._made[within] = {name: tensor.cpu() for name, tensor in made.items()}
            if len(self._made) == BLOCK:
                self._end_block(number, state)
        return made

    def chain(self, iteration: int, after: int = -1) -> dict[str, torch.Tensor] | None:
        """The newest state that can be read, on the CPU, of a position in (`after`, `iteration`]; None without one."""
        for position in reversed(self._positions()):
            if after < position <= iteration:
                try:
                    return safetensors.torch.load_file(self._chain_path(position))
                except (OSError, safetensors.SafetensorError):
                    continue  # damaged, or another trial no longer needs it and has just deleted it
        return None

    def _end_block(self, number: int, state: Callable[[], Statistics]) -> None:
        size = sum(_bytes(statistics) for statistics in self._made.values())
        stored = self._store(number)
        self._made, self._holds = {}, False
        with contextlib.suppress(OSError):
            if stored:
                self._keep_state(number, size, state)

    def _keep_state(self, number: int, block: int, make: Callable[[], Statistics]) -> None:
        """Keep the state after block `number` of `block` bytes if anybody may need it, and only what they may need."""
        positions = self._positions()
        between = (number + 1) % CHAIN_EVERY != 0
        # A long queue is neither copied nor written for every block: rebuilding a few iterations is cheaper.
        state = {} if between and self._state_size > block else make()
        if state:
            self._state_size = _bytes(state)
            position = int(state["position"])
            known = sorted({*positions, position})
            idle = self._idle(known)
            freed = sum(_file_size(self._chain_path(old)) for old in idle)
            wanted = position not in idle and not (between and self._state_size > block)
            if wanted and self._room_for(self._state_size, freed):
                tensors = {name: tensor.contiguous() for name, tensor in state.items()}
                write_bytes(self._chain_path(position), safetensors.torch.save(tensors))
                positions = known
        for old in self._idle(positions):
            self._chain_path(old).unlink(missing_ok=True)

    def _idle(self, positions: Iterable[int]) -> list[int]:
        """Those of the ascending `positions` that nobody continues from: all blocks up to the next are stored."""
        return [
            old
            for old, new in pairwise(positions)
            if all(self._path(number).exists() for number in range(old // BLOCK + 1, new // BLOCK + 1))
        ]

    def _positions(self) -> list[int]:
        """Where states are kept, ascending."""
        found = (self.folder / CHAIN).glob("*.safetensors")
        return sorted(int(path.stem) for path in found if path.stem.isdigit())

    def _chain_path(self, position: int) -> Path:
        return self.folder / CHAIN / f"{position:06d}.safetensors"

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
        size = _bytes(tensors)
        # A bank saves time; a full disk or a lost race must never cost a trial.
        with contextlib.suppress(OSError):
            if (self._path(number).exists() and not self._damaged) or not self._room_for(size):
                return False
            if not (self.folder / "facts.json").exists():
                write_json(self.folder / "facts.json", self.facts)
            write_bytes(self._path(number), safetensors.torch.save(tensors))
            return True
        return False

    def _takes(self, block: int) -> bool:
        """Whether a block of `block` bytes may be kept."""
        with contextlib.suppress(OSError):
            return block <= BLOCK_BYTES and self._room_for(block)
        return False

    def _room_for(self, size: int, freed: int = 0) -> bool:
        """Whether `size` bytes may be written, after which `freed` bytes are deleted."""
        root = self.folder.parent
        root.mkdir(parents=True, exist_ok=True)
        used = sum(_file_size(path) for path in root.rglob("*.safetensors"))
        free = shutil.disk_usage(root).free
        return used + size - freed <= self.limit and free - size >= KEEP_FREE_GB * 2**30


def _bytes(statistics: Statistics) -> int:
    return sum(tensor.nbytes for tensor in statistics.values())


def _file_size(path: Path) -> int:
    """In bytes; 0 where another trial has just deleted it."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def limit_gb() -> float:
    """Size that all banks of a home, blocks and states, may have together, in GiB: `RAYDD_BANK_GB`, or 4.

    Raises:
        ConfigError: the variable is no number.
    """
    text = os.environ.get("RAYDD_BANK_GB", "")
    try:
        return float(text) if text else LIMIT_GB
    except ValueError:
        raise ConfigError(f"RAYDD_BANK_GB: {text!r} is no number of GiB") from None
