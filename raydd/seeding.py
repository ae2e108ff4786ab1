"""Random streams: one generator per (seed, purpose, iteration, class), never the clock, never shared.

A draw is a pure function of its address, so a resumed run needs no generator state, an evaluation
cannot shift the draws of the distiller, and two trials of a study see the same real batches.
Generators live on the CPU whatever the device, so that a GPU run draws what a CPU run draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, purpose: str, iteration: int = 0, class_: int = 0) -> int:
    """Seed of the stream at (seed, purpose, iteration, class): an int in [0, 2**63).

    Args:
        seed: the study's or the run's seed, any int.
        purpose: what the draw is for, such as ``"real_batch"``; two purposes never share a stream.
        iteration: iteration, epoch or trial number, >= 0.
        class_: class index, or another second counter.
    """
    address = f"{seed}/{purpose}/{iteration}/{class_}".encode()
    return int.from_bytes(hashlib.blake2b(address, digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, iteration: int = 0, class_: int = 0) -> torch.Generator:
    """CPU generator of the stream at (seed, purpose, iteration, class); see `derive_seed`."""
    import torch

    # torch's CPU engine keeps 32 bits of its seed; passing exactly 32 makes that visible.
    return torch.Generator().manual_seed(derive_seed(seed, purpose, iteration, class_) & 0xFFFFFFFF)


@contextmanager
def forked_rng(seed: int, purpose: str, iteration: int = 0, class_: int = 0) -> Iterator[None]:
    """Run a block under global random state of its own, for layers that draw without a generator (dropout)."""
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(derive_seed(seed, purpose, iteration, class_))
        yield
