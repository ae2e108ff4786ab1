"""The one place that picks the device, sets threads and tunes the allocator of a process that computes."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydd.errors import ConfigError, unknown

if TYPE_CHECKING:
    import torch

PRECISIONS = ("fp32", "mixed", "bf16")

SPIN = "10000"
"""How often a waiting thread of GNU OpenMP looks before it sleeps. Its default is thirty times as much: when other
processes take the CPUs, a parallel region then waits for a thread that waits for a CPU. Of training steps of 0.1 s
on two busy CPUs the slowest took 1.1 to 3.2 s, and with this many 0.25 to 0.41 s; on quiet ones both are as fast."""

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h


def resolve(name: str = "auto") -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device that exists here.

    `auto` is the first CUDA device where there is one, otherwise the CPU.

    Raises:
        ConfigError: the name is none of these, or names a device that this machine lacks.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise ConfigError(f"device: {name!r} is not one of auto, cpu, cuda, cuda:N")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            raise ConfigError(f"device: {name!r} is not here; CUDA devices on this machine: {count}")
    return torch.device(name)


def prepare_environment() -> None:
    """Settings that are read when torch is loaded, for this process, if it has not loaded it, and its children.

    What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN)


def prepare_process(threads: int) -> None:
    """Set up a process that computes: `threads` CPU threads (>= 1) and an allocator that keeps its pages.

    Page faults on freshly mapped memory are the largest single cost of small-network training on CPU;
    glibc's malloc is told to keep and reuse memory (1.4 to 1.9 times faster ConvNet steps). The price
    is that resident memory stays at its high-water mark. Elsewhere than on glibc only threads are set.
    """
    import torch

    torch.set_num_threads(max(1, threads))
    # On CUDA torch rounds convolutions to TF32 unless told otherwise; fp32 is to mean fp32.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if sys.platform.startswith("linux"):
        try:
            mallopt = ctypes.CDLL("libc.so.6").mallopt
        except (OSError, AttributeError):  # musl
            return
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 256 * 2**20)


def available_cpus() -> int:
    """CPUs that this process may use, >= 1: its affinity where the system has one, and a container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, _quota(CPU_QUOTA)))


def threads_alone() -> int:
    """CPU threads of a process that computes alone, >= 1: all its CPUs, or as many as OMP_NUM_THREADS says."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # the first of nested levels
    cpus = available_cpus()
    return max(1, min(cpus, int(asked))) if asked.isdecimal() else cpus


def _quota(path: Path) -> int:
    """Whole CPUs of a cgroup's `cpu.max`, such as `150000 100000`; no limit where there is none."""
    try:
        quota, period = path.read_text().split()
        return sys.maxsize if quota == "max" else math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        return sys.maxsize


@dataclass(frozen=True)
class Compute:
    """Where and how networks are computed.

    Attributes:
        device: where.
        precision: `fp32`; `mixed`, which computes in bfloat16 whatever no image gradient flows through (real
            features, training and testing of networks); or `bf16`, which computes the synthetic side in
            bfloat16 too: an approximation. Parameters, statistics, losses and pixels are float32 always.
        compiled: whether networks run through `torch.compile`.

    Raises:
        ConfigError: no such precision.
    """

    device: torch.device
    precision: str = "fp32"
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConfigError(f"precision: {unknown('precision', self.precision, PRECISIONS)}")

    def facts(self) -> dict[str, Any]:
        """What bit-equality of a result depends on besides the code and its arguments."""
        import torch

        return {
            "torch": torch.__version__,
            "device": self.device.type,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
            "precision": self.precision,
            "path": "compiled" if self.compiled else "eager",
        }
