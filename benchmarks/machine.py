"""What a number depends on besides the code: the machine, the software, the commit; and a process's memory."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def cores() -> int:
    """CPUs that this process may use, >= 1."""
    return len(allowed_cpus()) or os.cpu_count() or 1


def allowed_cpus() -> set[int]:
    """Numbers of the CPUs that this process may use; empty where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def hardware() -> dict[str, Any]:
    """`cpu` (model), `cores` (usable), `memory` (bytes, or None) and `system`."""
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory": _total_memory(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def software() -> dict[str, Any]:
    """`python`, and `torch` with the `capability` that its kernels use where this process has loaded it."""
    facts: dict[str, Any] = {"python": platform.python_version()}
    torch = sys.modules.get("torch")
    if torch is not None:
        facts["torch"] = torch.__version__
        facts["capability"] = torch.backends.cpu.get_cpu_capability()
    return facts


def commit() -> str | None:
    """Commit of this checkout, with `-dirty` where its code was changed since; None outside a checkout."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return None
    changed = _git("status", "--porcelain", "--", "raydd", "trainables", "search_spaces", "benchmarks")
    return f"{head}-dirty" if changed else head


def peak_memory() -> int:
    """Largest resident memory, in bytes, that this process or one of its finished children ever had."""
    # ru_maxrss survives exec, so a child starts with what its parent had; VmHWM does not.
    own = _status("VmHWM") or _maxrss(resource.RUSAGE_SELF)
    return max(own, _maxrss(resource.RUSAGE_CHILDREN))


def _maxrss(who: int) -> int:
    size = resource.getrusage(who).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


def _status(field: str) -> int | None:
    """A field of /proc/self/status in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:")), None)


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _total_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _git(*arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
