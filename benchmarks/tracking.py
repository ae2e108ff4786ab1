"""`python -m benchmarks.tracking`: what tracking adds to a report of a trial, with each kind of store.

Reports of ten metrics are logged one at a time, each written before the next, as in a search where they come seconds
apart. Three things are measured of each: the time that the driver's hook takes (`Tracker.log_trial` only queues), the
CPU time of the writer thread, and the wall time until the store has it, which no trial waits for. Rounds go through the
stores in turns; the medians over rounds of each round's median are printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.ending import exit_code
from benchmarks.machine import commit, hardware, software
from raydd.tuning.store_uri import redact, ui_command
from raydd.tuning.tracking import Tracker

METRICS = 10
START_SECONDS = 240.0


@contextlib.contextmanager
def served(store: str, folder: Path) -> Iterator[str]:
    """A server of one worker on `store`, on loopback; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            ui_command(store, port), cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
                break
            if time.monotonic() > end or process.poll() is not None:
                raise click.ClickException(
                    f"the server on {redact(store)} did not start; see {folder}/server.log"
                )
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def writer_cpu() -> float:
    """CPU seconds of the tracker's writer thread."""
    writer = next(each for each in threading.enumerate() if each.name == "raydd-tracking")
    assert writer.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(writer.ident))


def measure(uri: str, artifact_root: Path | None, reports: int, name: str) -> dict[str, float]:
    """Medians of one round, in milliseconds: `hook`, `writer_cpu`, `stored`."""
    Tracker.preflight(uri, "benchmark", artifact_root)
    tracker = Tracker(uri, "benchmark", artifact_root=artifact_root)
    tracker.open_study(name, params={}, tags={}, description="", dataset={})
    tracker.open_trial(0, params={"lr_img": 1.0}, tags={})
    metrics = {f"loss/{number}": float(number) for number in range(METRICS)}
    tracker.log_trial(0, metrics, 0)
    assert tracker.flush(120)
    taken: dict[str, list[float]] = {"hook": [], "writer_cpu": [], "stored": []}
    for step in range(1, reports + 1):
        cpu, begun = writer_cpu(), time.perf_counter()
        tracker.log_trial(0, metrics, step)
        queued = time.perf_counter()
        assert tracker.flush(120)
        taken["stored"].append(time.perf_counter() - begun)
        taken["hook"].append(queued - begun)
        taken["writer_cpu"].append(writer_cpu() - cpu)
    tracker.close_trial(0, "complete")
    tracker.close_study()
    tracker.close(60)
    assert tracker.problems == []
    return {key: 1000 * statistics.median(values) for key, values in taken.items()}


def compare(folder: Path, postgres: str | None, rounds: int, reports: int) -> list[dict[str, Any]]:
    """A row for each store: medians over rounds, and the lowest and highest of the rounds."""
    with contextlib.ExitStack() as stack:
        stores: dict[str, tuple[str, Path | None]] = {
            "sqlite": (f"sqlite:///{folder}/own.db", folder / "artifacts"),
            "server on sqlite": (stack.enter_context(served(f"sqlite:///{folder}/server.db", folder)), None),
        }
        if postgres is not None:
            stores["server on PostgreSQL"] = stack.enter_context(served(postgres, folder)), None
        found: dict[str, list[dict[str, float]]] = {name: [] for name in stores}
        for number in range(rounds):
            for name, (uri, root) in stores.items():
                found[name].append(measure(uri, root, reports, f"round-{number}-{os.getpid()}"))
    rows = []
    for name, results in found.items():
        row: dict[str, Any] = {"store": name}
        for key in ("hook", "writer_cpu", "stored"):
            values = [result[key] for result in results]
            row[f"{key}_ms"] = statistics.median(values)
            row[f"{key}_ms_range"] = [min(values), max(values)]
        rows.append(row)
    return rows


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--postgres",
    metavar="URI",
    help="An empty database, postgresql+psycopg2://...; without, none is measured.",
)
@click.option("--rounds", default=5, help="[default: 5]")
@click.option("--reports", default=100, help="Of each round and store.  [default: 100]")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for the figures.")
def command(postgres: str | None, rounds: int, reports: int, out: Path | None) -> None:
    """Measure what tracking adds to a report."""
    with tempfile.TemporaryDirectory(prefix="raydd-tracking-") as folder:
        rows = compare(Path(folder), postgres, rounds, reports)
    click.echo(f"{'store':22}{'hook ms':>10}{'writer CPU ms':>16}{'stored after ms':>18}")
    for row in rows:
        click.echo(
            f"{row['store']:22}{row['hook_ms']:10.3f}{row['writer_cpu_ms']:16.2f}{row['stored_ms']:18.1f}"
        )
    if out is not None:
        facts = {
            "commit": commit(),
            **hardware(),
            **software(),
            "rounds": rounds,
            "reports": reports,
            "metrics": METRICS,
            "load": os.getloadavg(),
        }
        out.write_text(json.dumps({**facts, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(exit_code(lambda: command.main(standalone_mode=False)))
