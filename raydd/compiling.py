"""All about `torch.compile` but the networks: where kernels are kept, whether it works here, and whether it pays."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from raydd import files
from raydd.errors import ConfigError, unknown

SETTINGS = ("auto", "on", "off")

SECONDS = 90.0  # what compiling the networks of a study takes where no kernel is kept yet
SAVED = 0.15  # share of the time of uncompiled float32 networks that compiled ones save; bfloat16 saves far more
THREAD_RATE = 100.0  # GFLOP/s of uncompiled float32 networks on one CPU thread ...
GPU_RATE = 10_000.0  # ... and on one GPU

# Shapes of networks and batches that one process may meet; torch's own limit is 8, and then it gives up silently.
SHAPES = 1024

_TRIAL = """
import sys

import torch


def tiny(x):
    return torch.relu(2 * x + 1)


try:
    x = torch.arange(-64.0, 64.0, device=sys.argv[1])
    if not torch.equal(torch.compile(tiny)(x), tiny(x)):
        sys.exit("compiled code gave another result")
except Exception as error:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    sys.exit(next((line for line in lines if " error:" in line), lines[0]))
"""


def cache_folder() -> Path:
    """Where compiled kernels are kept: `inductor` in `RAYDD_CACHE`, else in `~/.cache/raydd`."""
    return files.absolute(os.environ.get("RAYDD_CACHE") or "~/.cache/raydd") / "inductor"


@functools.cache
def prepare() -> None:
    """Set torch.compile up; to be called before the first compiled call of a process.

    Kernels are kept where all processes of this user find them, compiling takes no more processes than there
    are threads, and a function that meets many shapes fails rather than running uncompiled unnoticed.
    `TORCHINDUCTOR_CACHE_DIR` and `TORCHINDUCTOR_COMPILE_THREADS` stay as they are where they are set.
    """
    # Before the imports, which write down a folder of torch's own choice.
    if not _is_set_by_the_user("TORCHINDUCTOR_CACHE_DIR") and _writable(cache_folder()):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_folder())
    import torch
    import torch._dynamo.config
    import torch._inductor.config

    if "TORCHINDUCTOR_COMPILE_THREADS" not in os.environ:
        # Otherwise every trial would start a process on each CPU of the machine.
        torch._inductor.config.compile_threads = torch.get_num_threads()
    # torch 2.6 has the second name of each pair only.
    for names, value in (
        (("recompile_limit", "cache_size_limit"), SHAPES),
        (("accumulated_recompile_limit", "accumulated_cache_size_limit"), SHAPES),
        (("fail_on_recompile_limit_hit", "fail_on_cache_limit_hit"), True),
    ):
        name = next((name for name in names if hasattr(torch._dynamo.config, name)), None)
        if name is not None:
            setattr(torch._dynamo.config, name, value)


def _is_set_by_the_user(variable: str) -> bool:
    value = os.environ.get(variable)
    return value is not None and not value.startswith(os.path.join(tempfile.gettempdir(), "torchinductor_"))


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False  # torch then takes its own folder under /tmp
    return os.access(folder, os.W_OK | os.X_OK)


@functools.cache
def obstacle(device: str = "cpu") -> str | None:
    """Why networks cannot be compiled on this machine, in one sentence, or None; found once a process.

    The proof is a tiny function, compiled in a process and a folder of its own (about 10 s). A machine without
    a GPU, from which a study is sent to GPUs elsewhere, can prove nothing about them: None.

    Args:
        device: `cpu` or `cuda`.
    """
    if not sys.platform.startswith(("linux", "darwin")):
        return f"torch.compile is used on Linux and macOS only, and this is {sys.platform}"
    if device == "cpu":
        usual = "clang++" if sys.platform == "darwin" else "g++"
        compiler = os.environ.get("CXX", usual)
        if shutil.which(compiler) is None:
            named = "" if compiler == usual else " (named by CXX)"
            return f"there is no C++ compiler here: {compiler}{named} is not on PATH"
    else:
        import torch

        if not torch.cuda.is_available():
            return None
    return _failure(device)


def _failure(device: str) -> str | None:
    try:
        # An empty folder: kernels that were kept would prove nothing.
        with tempfile.TemporaryDirectory(prefix="raydd-compile-") as folder:
            settings = {"TORCHINDUCTOR_CACHE_DIR": folder, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
            done = subprocess.run(
                [sys.executable, "-P", "-c", _TRIAL, device],
                env={**os.environ, **settings, "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=600,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"a trial compilation failed: {error}"
    if done.returncode == 0:
        return None
    line = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
    if "Python.h" in line:
        return "Python's header files are missing here (Python.h, in Debian's and Ubuntu's python3-dev)"
    return "a trial compilation failed: " + re.sub(r"^\S+:\d+:\d+: ", "", line)


def worth(gigaflops: float, threads: int, device: str = "cpu") -> bool:
    """Whether compiling saves more time than it takes; decided from the arguments alone, never measured.

    Args:
        gigaflops: network arithmetic of the whole run, in GFLOP (see `raydd.workload`).
        threads: CPU threads that compute at once, of all trials together; without effect on CUDA.
        device: `cpu` or `cuda`.
    """
    rate = GPU_RATE if device == "cuda" else THREAD_RATE * max(1, threads)
    return SAVED * gigaflops / rate > SECONDS


def word(setting: Any) -> Any:
    """A setting as a word, for YAML 1.1 reads a bare `on` as True and `off` as False; all else as it is."""
    return ("on" if setting else "off") if isinstance(setting, bool) else setting


def resolve(setting: bool | str, gigaflops: float, threads: int, device: str = "cpu") -> tuple[bool, str]:
    """Whether to compile, and why, in a few words.

    Args:
        setting: `auto`, `on` or `off`.
        gigaflops, threads, device: see `worth`.

    Raises:
        ConfigError: the setting is none of these, or `on` where compiling cannot work.
    """
    chosen = word(setting)
    if chosen not in SETTINGS:
        raise ConfigError(f"compile: {unknown('setting', str(setting), SETTINGS)}")
    if chosen == "off":
        return False, "as asked for"
    if chosen == "auto" and not worth(gigaflops, threads, device):
        return False, f"{amount(gigaflops)} of network arithmetic, too little for compiling to pay"
    problem = obstacle(device)
    if chosen == "on":
        if problem is not None:
            raise ConfigError(f"compile: 'on' cannot be done, because {problem}; use off or auto")
        return True, "as asked for"
    if problem is not None:
        return False, f"compiling would pay, but {problem}"
    return True, f"{amount(gigaflops)} of network arithmetic, enough for compiling to pay"


def amount(gigaflops: float) -> str:
    """Arithmetic in words: `about 810,000 GFLOP`, two digits being all that an estimate has."""
    if gigaflops < 1:
        return "less than 1 GFLOP"
    return f"about {float(f'{gigaflops:.2g}'):,.0f} GFLOP"


def line(precision: str, compiled: bool, why: str) -> str:
    """How networks are going to be computed, for the person who asked."""
    return f"computed in {precision}, {'compiled' if compiled else 'eager'}" + (f": {why}" if why else "")


def caution(precision: str, device: str, compiled: bool) -> str | None:
    """A sentence where bfloat16 is asked for and float32 would be faster, else None."""
    if precision == "fp32" or device != "cpu":
        return None
    if not _has_bfloat16():
        return f"{precision} is slower than fp32 here, because this CPU has no bfloat16 instructions"
    if not compiled:
        return f"{precision} is slower than fp32 on a CPU unless networks are compiled (--compile on)"
    return None


@functools.cache
def _has_bfloat16() -> bool:
    """Whether this machine's CPU computes in bfloat16 (avx512_bf16 or amx_bf16; `bf16` on ARM)."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        import torch

        query = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(query is not None and query())
    return re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) is not None
