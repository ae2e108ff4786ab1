"""`python -m benchmarks`: measure the cases, print the table, and write it where asked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from benchmarks import cases, report
from benchmarks.ending import exit_code
from benchmarks.machine import ROOT
from benchmarks.results import CaseResult
from benchmarks.run import measure, peak_process
from raydd.errors import ConfigError, unknown
from raydd.files import write_json, write_text

DOCUMENT = ROOT / "docs" / "performance.md"
ROUNDS, QUICK_ROUNDS = 5, 3
MADE_UP = ("classes", "per_class", "test_per_class")  # settings that a folder of images has of its own
FAILED = 1


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"A full run of all cases writes the table to {DOCUMENT.relative_to(ROOT)} too. Exit codes: 0 done, "
    "1 something could not be measured or computes other values than the reference, 2 bad input.",
)
@click.option("--quick", is_flag=True, help="Small sizes and few rounds: under 3 minutes, not to be quoted.")
@click.option("--only", multiple=True, metavar="NAME", help="Measure this case; may be given several times.")
@click.option(
    "--rounds", type=int, metavar="N", help=f"Rounds that count.  [default: {ROUNDS}, quick {QUICK_ROUNDS}]"
)
@click.option("--data", metavar="FOLDER", help="Class-per-folder images, instead of made-up ones.")
@click.option("--json", "json_file", metavar="FILE", help="Write every raw number there.")
@click.option("--markdown", "markdown_file", metavar="FILE", help="Write the table there.")
@click.option("--list", "list_only", is_flag=True, help="List the cases and measure nothing.")
def command(
    quick: bool,
    only: tuple[str, ...],
    rounds: int | None,
    data: str | None,
    json_file: str | None,
    markdown_file: str | None,
    list_only: bool,
) -> None:
    """Measure speed and memory against plain loops of the authors' procedures."""
    found = cases.found()
    if list_only:
        for case in found.values():
            click.echo(f"{case.name:<20} {case.title}")
        return
    for name in only:
        if name not in found:
            raise ConfigError(f"--only: {unknown('case', name, found)}")
    if rounds is not None and rounds < 1:
        raise ConfigError(f"--rounds: must be at least 1, got {rounds}")
    if data is not None and not Path(data).is_dir():
        raise ConfigError(f"--data: {data!r} is no folder")
    outputs = {"--json": _output("--json", json_file), "--markdown": _output("--markdown", markdown_file)}

    chosen = [case for name, case in found.items() if not only or name in only]
    count = rounds or (QUICK_ROUNDS if quick else ROUNDS)
    results: list[CaseResult] = []
    with peak_process() if any(case.flops for case in chosen) else nullcontext() as peak:
        for case in chosen:
            settings = _settings(case.quick if quick else case.full, data)
            results.append(measure(case, settings, quick=quick, rounds=count, peak=peak, progress=_progress))
    software = {key: value for result in results for key, value in result.machine.items()}
    document = report.document(results, software, quick)
    text = report.markdown(document)
    click.echo(text)

    failed = any(result.failed for result in results)
    if outputs["--markdown"] is None and not (quick or only or failed):
        outputs["--markdown"] = DOCUMENT
    if outputs["--json"] is not None:
        write_json(outputs["--json"], document)
    if outputs["--markdown"] is not None:
        write_text(outputs["--markdown"], text)
    if failed:
        raise SystemExit(FAILED)


def _settings(settings: Mapping[str, Any], data: str | None) -> dict[str, Any]:
    """Those of a case, with a folder in place of made-up images where the case has images."""
    if data is None or "size" not in settings:
        return dict(settings)
    kept = {name: value for name, value in settings.items() if name not in MADE_UP}
    return {**kept, "data": str(Path(data).resolve())}


def _output(flag: str, name: str | None) -> Path | None:
    if name is None:
        return None
    path = Path(name).resolve()
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"{flag}: {name!r} is no file in an existing folder")
    return path


def _progress(line: str) -> None:
    click.echo(line, err=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    return exit_code(lambda: command.main(arguments, standalone_mode=False))


if __name__ == "__main__":
    sys.exit(main())
