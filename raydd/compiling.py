"""All about `torch.compile` but the networks: where kernels are kept, whether it works here, and whether it pays."""

from __future__ import annotations

import functools
import os
import platform
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
SWITCHES = ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE")

SECONDS = 90.0  # what compiling the networks of a study takes where no kernel is kept yet
SAVED = 0.15  # share of the time of uncompiled networks that compiled ones save
SAVED_LOW = 0.8  # ... in bfloat16 on the CPU, where uncompiled ones are slower than in float32
THREAD_RATE = 100.0  # GFLOP/s of uncompiled float32 networks on one CPU thread ...
LOW_RATE = 60.0  # ... and in bfloat16 ...
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


def kernels_root() -> Path:
    """Folder of all compiled kernels: `inductor` in `RAYDD_CACHE`, else in `~/.cache/raydd`."""
    return files.absolute(os.environ.get("RAYDD_CACHE") or "~/.cache/raydd") / "inductor"


def cache_folder() -> Path:
    """Where processes like this one keep compiled kernels.

    torch finds a kernel by its source. But it is made for one CPU and, before torch 2.13, for one number of
    threads without saying so, and a home may be shared by machines that differ.
    """
    import torch

    facts = {"torch": torch.__version__, "threads": torch.get_num_threads(), "cpu": _cpu()}
    return kernels_root() / files.digest(facts)[:16]


@functools.cache
def _cpu() -> list[str]:
    """What kernels that are made for this machine's CPU may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return [platform.machine(), platform.processor()]
    described = {line.split(":")[0].strip(): line.split(":", 1)[-1].split() for line in lines}
    flags = described.get("flags") or described.get("Features") or []
    return [platform.machine(), *sorted(flags)]


@functools.cache
def prepare() -> None:
    """Set torch.compile up; to be called before the first compiled call of a process.

    Kernels are kept where all processes of their kind find them, and compiling takes no more processes than
    there are threads. A function that meets many shapes or cannot be compiled fails: it must not run
    uncompiled unnoticed, for its results are kept under the name of compiled ones. These settings are the
    process's own. `TORCHINDUCTOR_CACHE_DIR` and `TORCHINDUCTOR_COMPILE_THREADS` stay where they are set.

    Raises:
        ConfigError: the environment switches compiling off.
    """
    # Before the imports, which write down a folder of torch's own choice.
    if not _is_set_by_the_user("TORCHINDUCTOR_CACHE_DIR") and _writable(folder := cache_folder()):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    import torch
    import torch._dynamo.config
    import torch._inductor.config

    for switch in SWITCHES:
        if os.environ.get(switch, "0") not in ("", "0"):
            raise ConfigError(
                f"compile: {switch}={os.environ[switch]} switches compiling off; unset it or use off"
            )
    torch._dynamo.config.suppress_errors = False

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
    for name in SWITCHES:
        if os.environ.get(name, "0") not in ("", "0"):
            return f"{name}={os.environ[name]} switches it off"
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
        root = kernels_root()
        # Where kernels will lie, for one may be allowed to write in a folder and not to run what lies there.
        where = root if _writable(root) else None
        with tempfile.TemporaryDirectory(prefix=".trial-", dir=where) as folder:
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
    except subprocess.TimeoutExpired:
        return "a trial compilation took more than ten minutes"
    except OSError as error:
        return f"a trial compilation failed: {error}"
    if done.returncode == 0:
        return None
    line = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
    if "Python.h" in line:
        return "Python's header files are missing here (Python.h, in Debian's and Ubuntu's python3-dev)"
    return "a trial compilation failed: " + re.sub(r"^\S+:\d+:\d+: ", "", line)


def worth(gigaflops: float, threads: int, device: str = "cpu", precision: str = "fp32") -> bool:
    """Whether compiling saves more time than it takes; decided from the arguments alone, never measured.

    Args:
        gigaflops: network arithmetic of the whole run, in GFLOP (see `raydd.workload`).
        threads: CPU threads that compute at once, of all trials together; without effect on CUDA.
        device: `cpu` or `cuda`.
        precision: see `raydd.devices.Compute`.
    """
    if device == "cuda":
        return SAVED * gigaflops / GPU_RATE > SECONDS
    saved, rate = (SAVED, THREAD_RATE) if precision == "fp32" else (SAVED_LOW, LOW_RATE)
    return saved * gigaflops / (rate * max(1, threads)) > SECONDS


def word(setting: Any) -> Any:
    """A setting as a word, for YAML 1.1 reads a bare `on` as True and `off` as False; all else as it is."""
    return ("on" if setting else "off") if isinstance(setting, bool) else setting


def resolve(
    setting: bool | str, gigaflops: float, threads: int, device: str = "cpu", precision: str = "fp32"
) -> tuple[bool, str]:
    """Whether to compile, and why, in a few words.

    Args:
        setting: `auto`, `on` or `off`.
        gigaflops, threads, device, precision: see `worth`.

    Raises:
        ConfigError: the setting is none of these, or `on` where compiling cannot work.
    """
    chosen = word(setting)
    if chosen not in SETTINGS:
        raise ConfigError(f"compile: {unknown('setting', str(setting), SETTINGS)}")
    if chosen == "off":
        return False, "as asked for"
    if chosen == "auto" and not worth(gigaflops, threads, device, precision):
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
    if not has_bfloat16():
        return f"{precision} is slower than fp32 here, because this CPU has no bfloat16 instructions"
    if not compiled:
        return f"{precision} is slower than fp32 on a CPU unless networks are compiled"
    return None


@functools.cache
def has_bfloat16() -> bool:
    """Whether this machine's CPU computes in bfloat16 (avx512_bf16 or amx_bf16; `bf16` on ARM)."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        import torch

        query = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(query is not None and query())
    return re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) is not None
