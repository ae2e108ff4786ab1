"""Facts about the machine and the code a study ran on, for provenance.json and for the tags of its runs."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import importlib.metadata
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from raydd import devices
from raydd.tuning.store_uri import redact

PACKAGES = ("raydd", "torch", "torchvision", "ray", "optuna", "mlflow", "numpy", "scipy", "pydantic")

_SECRET_OPTION = re.compile(r"^--?[\w.-]*(password|passwd|token|secret|api[-_]?key)[\w.-]*$", re.I)


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that results depend on; None where one is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


@cache
def git() -> dict[str, Any]:
    """`commit`, `branch`, `dirty` and `url` of the checkout that raydd is imported from; {} where it is none."""
    from raydd.storage.provenance import PACKAGE, git_commit  # imports torch

    commit = git_commit()
    if commit is None:
        return {}
    url = _output("git", "-C", str(PACKAGE), "remote", "get-url", "origin")
    return {
        "commit": commit.removesuffix("-dirty"),
        "branch": _output("git", "-C", str(PACKAGE), "rev-parse", "--abbrev-ref", "HEAD"),
        "dirty": commit.endswith("-dirty"),
        "url": redact(url) if url else None,
    }


def user() -> str:
    """Login name, or the number of a user that has none (containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def command_line(arguments: Sequence[str] | None = None) -> list[str]:
    """`arguments` (this process's where None) with passwords and tokens replaced by `***`."""
    shown: list[str] = []
    hide = False
    for argument in sys.argv if arguments is None else arguments:
        shown.append("***" if hide else redact(argument))
        hide = bool(_SECRET_OPTION.match(argument))
    return shown


def cpu_model() -> str:
    """The processor's name as its maker spells it, where the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or platform.machine()


def gpu_names() -> list[str]:
    """Names of this machine's NVIDIA GPUs, asked without starting CUDA in this process."""
    listing = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return listing.splitlines() if listing else []


def provenance(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Everything above as one JSON-able mapping, with the time in UTC; never raises, holds no secret."""
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command_line(arguments),
        "folder": os.getcwd(),
        "host": socket.gethostname(),
        "user": user(),
        "git": git(),
        "versions": versions(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": devices.available_cpus(),
        "gpus": gpu_names(),
    }


def source_tags() -> dict[str, str]:
    """The tags that MLflow's own `start_run` would set (user, program, commit), and raydd's version."""
    checkout = git()
    tags = {
        "mlflow.user": user(),
        "mlflow.source.name": sys.argv[0] or "python",
        "mlflow.source.type": "LOCAL",
        "raydd.version": importlib.metadata.version("raydd"),
        "mlflow.source.git.commit": checkout.get("commit"),
        "mlflow.source.git.branch": checkout.get("branch"),
        "mlflow.source.git.dirty": checkout.get("dirty"),
        "mlflow.source.git.repoURL": checkout.get("url"),
    }
    return {key: str(value) for key, value in tags.items() if value is not None}
