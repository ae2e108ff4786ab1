"""The parent's end of a worker process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from raydd.errors import RayddError

ROOT = Path(__file__).resolve().parents[1]

# Left in the environment, these would change threads or allocator of a side that is to run with its own.
TUNING = ("OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")

PATIENCE = 10.0
"""Seconds that a process may take to end by itself."""


class WorkerFailed(RayddError):
    """A worker raised an exception or died; the message is what it said."""

    exit_code = 1


class WorkerProcess:
    """A worker that has been started and answers; see `benchmarks.worker` for what is said.

    Used in a `with` block, after which the process is gone.

    Args:
        variables: added to its environment, which is ours without what tunes threads and allocator.
    """

    def __init__(self, **variables: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(TUNING)}
        environment |= variables
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def ask(self, do: str, **details: Any) -> dict[str, Any]:
        """Say what to do, and wait for the answer."""
        self.tell(do, **details)
        return self.hear()

    def tell(self, do: str, **details: Any) -> None:
        """Say what to do; `hear` has to follow."""
        assert self._process.stdin is not None
        try:
            print(json.dumps({"do": do, **details}), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._failure() from None

    def hear(self) -> dict[str, Any]:
        """Wait for the answer to `tell`.

        Raises:
            WorkerFailed: the worker said so, or died without an answer.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerFailed(answer["error"])
        return answer

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def log(self) -> str:
        """What the worker wrote to stderr."""
        self._log.seek(0)
        return self._log.read()

    def close(self) -> None:
        """End the process; a moment is left to it to remove its temporary files."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _failure(self) -> WorkerFailed:
        code = self._process.wait()
        last = (self.log().strip().splitlines() or ["it wrote nothing to stderr"])[-1]
        return WorkerFailed(f"the process died with exit code {code}: {last}")
