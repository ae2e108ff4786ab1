"""This machine: Python and what is installed, torch and its devices, the compiler, disks, the cache of data."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from raydd import compiling, devices, files, wording
from raydd.tuning.disk import usage
from raydd.tuning.doctor.check import FAILED, OK, WARNING, Check
from raydd.tuning.provenance import gpu_names

PYTHON = (3, 11)
SHOWN = ("torch", "torchvision", "ray", "optuna", "mlflow", "numpy")
FULL, TIGHT = 1e9, 10e9  # bytes free under which a study soon stops, and under which a large one may
SHARED_MEMORY = 1e9  # bytes of /dev/shm under which Ray keeps its objects on disk


def python() -> Iterator[Check]:
    """The interpreter's version."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON:
        yield Check("python", FAILED, f"{found} at {sys.executable}", "install Python 3.11 or newer")
    else:
        yield Check("python", OK, f"{found} at {sys.executable}")


def packages() -> Iterator[Check]:
    """Every package that raydd asks for, against the versions that it allows."""
    from packaging.requirements import Requirement

    wrong = []
    for line in importlib.metadata.requires("raydd") or []:
        needed = Requirement(line)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(needed.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{needed.name} is missing (needs {needed.specifier or 'any version'})")
            continue
        if not needed.specifier.contains(version, prereleases=True):
            wrong.append(f"{needed.name} is {version} (needs {needed.specifier})")
    if wrong:
        yield Check(
            "packages", FAILED, "; ".join(wrong), "pip install --upgrade raydd, or the versions named here"
        )
    else:
        yield Check("packages", OK, ", ".join(f"{name} {importlib.metadata.version(name)}" for name in SHOWN))


def torch_works() -> Iterator[Check]:
    """A convolution forth and back on the CPU, and torchvision's pure parts."""
    import torch

    from raydd import vision

    images = torch.ones(2, 3, 8, 8, requires_grad=True)
    kernel = torch.ones(4, 3, 3, 3)
    torch.nn.functional.conv2d(images, kernel).square().mean().backward()
    assert images.grad is not None
    if not bool(images.grad.isfinite().all()):
        yield Check(
            "torch", FAILED, "a convolution's gradient is not finite", "install another build of torch"
        )
    vision.datasets()
    cpu = torch.backends.cpu.get_cpu_capability()
    low = "bfloat16 in hardware" if compiling.has_bfloat16() else "no bfloat16 in hardware, so fp32 is faster"
    yield Check(
        "torch", OK, f"{torch.__version__} computes on {devices.available_cpus()} CPUs ({cpu}, {low})"
    )


def gpus() -> Iterator[Check]:
    """Every GPU that torch sees, with a small computation on it."""
    import torch

    seen = gpu_names()
    if not torch.cuda.is_available():
        if seen:
            yield Check(
                "gpu",
                WARNING,
                f"{', '.join(seen)} cannot be used by torch {torch.__version__}",
                "install a CUDA build of torch for this driver (https://pytorch.org/get-started)",
            )
        else:
            yield Check("gpu", OK, "none here; trials run on the CPU")
        return
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        twice = torch.ones(8, device=f"cuda:{index}") * 2
        low = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        found = (
            f"{torch.cuda.get_device_name(index)}, {wording.size(free)} of {wording.size(total)} free, {low}"
        )
        if twice.sum().item() != 16:
            yield Check(
                f"gpu {index}", FAILED, f"{found}: it computes wrongly", "restart it, or leave it out"
            )
        elif free < total / 2:
            yield Check(f"gpu {index}", WARNING, found, "somebody else uses it: see nvidia-smi")
        else:
            yield Check(f"gpu {index}", OK, found)


def compiler() -> Iterator[Check]:
    """Whether torch.compile works, proven by a small function."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    why = compiling.obstacle(device)
    if why is None:
        yield Check("compiler", OK, f"torch.compile works on {device}; kernels in {compiling.kernels_root()}")
    else:
        remedy = (
            "install a C++ compiler (apt install g++ python3-dev), or keep --compile auto, which does without"
        )
        yield Check("compiler", WARNING, why, remedy)


def disks(home: Path) -> Iterator[Check]:
    """Room where studies, caches and temporary files lie, and in shared memory."""
    places = {
        "disk of the home": (
            home,
            "free some, or name another folder (--home or RAYDD_HOME); `raydd gc` shows what lies there",
        ),
        "disk of the cache": (_cache(), "free some, or let RAYDD_CACHE name another folder"),
        "disk of temporary files": (
            Path(tempfile.gettempdir()),
            "free some, or let TMPDIR name another folder",
        ),
    }
    for name, (path, remedy) in places.items():
        there = existing(path)
        free = shutil.disk_usage(there).free
        status = FAILED if free < FULL else WARNING if free < TIGHT else OK
        found = f"{wording.size(free)} free at {path}"
        if not os.access(there, os.W_OK | os.X_OK):
            status, found, remedy = FAILED, f"{there} cannot be written", "name a folder that can be"
        yield Check(name, status, found, "" if status == OK else remedy)
    shared = Path("/dev/shm")
    if shared.is_dir():
        room = shutil.disk_usage(shared)
        found = f"{wording.size(room.free)} of {wording.size(room.total)} free at {shared}"
        if room.free < SHARED_MEMORY:
            yield Check(
                "shared memory", WARNING, found, "a container needs --shm-size=2g or more, or Ray is slow"
            )
        else:
            yield Check("shared memory", OK, found)


def data_cache() -> Iterator[Check]:
    """Whether images can be decoded into the cache, and what lies there."""
    from raydd.data.decode import cache_folder
    from raydd.tuning import preflight

    folder = cache_folder()
    with preflight.probe(folder):
        pass
    held = usage(folder).size
    yield Check("data cache", OK, f"{folder} can be written and holds {wording.size(held)} of decoded images")


def _cache() -> Path:
    return files.absolute(os.environ.get("RAYDD_CACHE") or "~/.cache/raydd")


def existing(path: Path) -> Path:
    """The nearest folder above that is there."""
    while not path.exists():
        path = path.parent
    return path
