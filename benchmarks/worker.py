"""A process that does one side's work: told by JSON lines on stdin, it answers by JSON lines on stdout.

    {"do": "start", "module", "case", "side", "settings", "warmups", "count_flops"}
        -> {"build_seconds", "warmup_seconds", "values", "units", "threads", "flops", "machine"}
    {"do": "run"} -> {"began", "ended"} in seconds of a clock that all processes share
    {"do": "read"} -> {"values"} of the last run
    {"do": "end"} -> {"memory": bytes}

Anything that goes wrong is answered by {"error": one line}, with the traceback on stderr, and ends the process.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any, TextIO

from benchmarks.case import Case, Work
from benchmarks.machine import peak_memory, software


class _Worker:
    def __init__(self) -> None:
        self.work: Work | None = None

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        cases: tuple[Case, ...] = importlib.import_module(request["module"]).CASES
        case = next(case for case in cases if case.name == request["case"])
        settings = request["settings"]
        began = time.perf_counter()
        self.work = case.side(request["side"]).make(settings)
        built = time.perf_counter() - began

        warmups: list[float] = []
        values: dict[str, float] = {}
        for _ in range(request["warmups"]):
            answer = self.run()
            warmups.append(answer["ended"] - answer["began"])
            # Only in the first run do all sides start from equal bits.
            values = values or self.work.values()
        torch = sys.modules.get("torch")
        return {
            "build_seconds": built,
            "warmup_seconds": warmups,
            "values": values,
            "units": self.work.units,
            "threads": torch.get_num_threads() if torch else None,
            "flops": dict(case.flops(settings)) if case.flops and request["count_flops"] else {},
            "machine": software(),
        }

    def run(self) -> dict[str, Any]:
        assert self.work is not None
        self.work.prepare()
        began = time.perf_counter()
        self.work.run()
        return {"began": began, "ended": time.perf_counter()}

    def read(self) -> dict[str, Any]:
        assert self.work is not None
        return {"values": self.work.values()}

    def end(self) -> dict[str, Any]:
        return {"memory": peak_memory()}


def _private_pipes() -> tuple[TextIO, TextIO]:
    """The pipes to the parent, out of reach of libraries: what they print goes to stderr."""
    requests = os.fdopen(os.dup(0), "r")
    answers = os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def main() -> None:
    requests, answers = _private_pipes()
    worker = _Worker()
    for line in requests:
        request = json.loads(line)
        try:
            answer = worker.start(request) if request["do"] == "start" else getattr(worker, request["do"])()
        except Exception as error:
            traceback.print_exc()
            message = " ".join(str(error).split())
            answer = {"error": f"{type(error).__name__}: {message}"}
        print(json.dumps(answer), file=answers, flush=True)
        if "error" in answer or request["do"] == "end":
            return


if __name__ == "__main__":
    main()
