"""What was measured, as JSON with every raw number and as a Markdown table for people."""

from __future__ import annotations

import datetime
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, rounds
from benchmarks.results import CaseResult, SideResult
from raydd.wording import size

COLUMNS = (
    "work",
    "variant",
    "time",
    "faster than the reference",
    "of peak",
    "memory",
    "first run",
    "differs by",
)
NOTHING = "-"


def document(results: Sequence[CaseResult], software: Mapping[str, Any], quick: bool) -> dict[str, Any]:
    """Everything, JSON-able.

    Returns:
        `machine`, `date`, `commit`, `quick`, `peak` (FLOP/s: median, low and high of each), `foreign_limit`, and
        for each of `cases` its settings, FLOPs, rounds (all raw seconds, foreign load, peak, whether it
        counts) and sides.
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "machine": {**machine.hardware(), **software},
        "quick": quick,
        "foreign_limit": rounds.FOREIGN_LIMIT,
        "peak": {name: vars(spread) for name, spread in peaks(results).items()},
        "cases": [_case(result) for result in results],
        "warnings": warnings(results),
    }


def _case(result: CaseResult) -> dict[str, Any]:
    kept = {id(round_) for round_ in result.kept}
    return {
        "name": result.case.name,
        "title": result.case.title,
        "unit": result.case.unit,
        "settings": dict(result.settings),
        "flops": result.flops,
        "rounds": [
            {
                "seconds": dict(round_.seconds),
                "foreign": round_.foreign,
                "flagged": round_.flagged,
                "kept": id(round_) in kept,
                "peak": dict(round_.peak),
            }
            for round_ in result.rounds
        ],
        "sides": [_side(result, side) for side in result.sides],
    }


def _side(result: CaseResult, side: SideResult) -> dict[str, Any]:
    spreads = {
        "seconds": rounds.seconds(result.kept, side.name),
        "ratio": rounds.paired_ratio(result.kept, result.case.reference.name, side.name),
        "peak_share": rounds.peak_share(result.kept, result.case.side(side.name), result.flops),
    }
    difference = side.difference if side.difference is None or math.isfinite(side.difference) else "infinite"
    return {
        **vars(side),
        "difference": difference,
        "values": {
            name: value if math.isfinite(value) else str(value) for name, value in side.values.items()
        },
        "processes": result.case.side(side.name).processes,
        **{name: spread and vars(spread) for name, spread in spreads.items()},
    }


def peaks(results: Sequence[CaseResult]) -> dict[str, rounds.Spread]:
    """FLOP/s of the peak convolution by precision and threads, over all rounds of all cases that count."""
    measured = [round_.peak for result in results for round_ in result.kept if round_.peak]
    names = measured[0] if measured else ()
    return {name: rounds.Spread.of([peak[name] for peak in measured]) for name in names}


def warnings(results: Sequence[CaseResult]) -> list[str]:
    """What a reader has to know, one sentence each."""
    lines = [line for result in results for line in result.warnings()]
    if any(round_.foreign is None for result in results for round_ in result.rounds):
        lines.append("this system does not say what other processes use, so foreign load went unnoticed")
    return lines


def markdown(document: Mapping[str, Any]) -> str:
    """The table, the machine and how the numbers are made."""
    facts = document["machine"]
    machine_line = ", ".join(
        [
            f"{facts['cpu']} ({facts['cores']} cores"
            + (f", {facts['memory'] / 2**30:.0f} GiB)" if facts["memory"] else ")"),
            facts["system"],
            f"Python {facts['python']}",
        ]
        + ([f"torch {facts['torch']} ({facts['capability']})"] if "torch" in facts else [])
    )
    blocks = [
        "# Speed",
        f"Measured on {document['date'][:10]} at commit {document['commit'] or 'unknown'} on {machine_line}.",
    ]
    if document["peak"]:
        speeds = "; ".join(
            f"{name} {spread['median'] / 1e9:.0f} ({spread['low'] / 1e9:.0f} to {spread['high'] / 1e9:.0f})"
            for name, spread in document["peak"].items()
        )
        blocks.append(f"Peak of a 3x3 convolution 128 -> 128 in the same rounds, GFLOP/s: {speeds}.")
    blocks.append(
        "Every variant runs in a process of its own and takes its turn in every round: a time is the median over "
        "the rounds (smallest to largest), and a ratio is the reference's time over ours within a round, again "
        "the median (smallest to largest). "
        "Unless a note below says otherwise, the reference is a plain loop that does what the authors' script does, "
        "with torch's default threads and allocator, and computes the same values, from which ours differ "
        "relatively as the last column says; "
        "`of peak` is the time that the needed FLOPs take at the peak convolution's speed, as a share of the measured "
        "one, `memory` is the largest that a process ever took, its set-up and compiling included, and `first run` "
        "includes compiling without any kernel kept from before. A study computes in fp32 unless told otherwise, "
        "compiled where it is long enough for that to pay."
    )
    if document["quick"]:
        blocks.append("**A quick run: small sizes and few rounds. Do not quote it.**")
    blocks.append(_table(document["cases"]))
    if document["warnings"]:
        blocks.append("\n".join(f"- **{line}**" for line in document["warnings"]))
    blocks.append("\n".join(_legend(case) for case in document["cases"]))
    return "\n\n".join(blocks) + "\n"


def _table(cases: Sequence[Mapping[str, Any]]) -> str:
    lines = [list(COLUMNS), ["---"] * 2 + ["---:"] * (len(COLUMNS) - 2)]
    for case in cases:
        for number, side in enumerate(case["sides"]):
            lines.append(
                [f"`{case['name']}`" if number == 0 else "", side["name"], *_cells(side, number == 0)]
            )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(side: Mapping[str, Any], is_reference: bool) -> list[str]:
    seconds, ratio, share = side["seconds"], side["ratio"], side["peak_share"]
    if seconds is None:
        return ["not measured"] + [NOTHING] * (len(COLUMNS) - 3)
    ratio_text = NOTHING
    if ratio is not None:
        ratio_text = (
            "1" if is_reference else f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        )
    return [
        f"{_time(seconds['median'])} ({_time(seconds['low'])} to {_time(seconds['high'])})",
        ratio_text,
        NOTHING if share is None else f"{share['median']:.0%}",
        NOTHING if side["memory"] is None else size(side["memory"]),
        _time(side["warmup_seconds"][0]) if side["warmup_seconds"] else NOTHING,
        NOTHING if side["difference"] is None else _difference(side["difference"]),
    ]


def _time(seconds: float) -> str:
    """Three digits or all whole ones, in milliseconds below 10 s."""
    value, unit = (seconds, "s") if seconds >= 10 else (seconds * 1e3, "ms")
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def _difference(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.0e}" if value else "0"


def _legend(case: Mapping[str, Any]) -> str:
    # Of a folder only its name: where it lies is nobody's business.
    shown = {name: Path(value).name if name == "data" else value for name, value in case["settings"].items()}
    settings = ", ".join(f"{name} {value}" for name, value in shown.items())
    threads = {side["name"]: side["threads"] for side in case["sides"] if side["threads"] is not None}
    counts = sorted(set(threads.values()))
    used = f"; threads: {', '.join(map(str, counts))}" if len(counts) == 1 else ""
    if len(counts) > 1:
        used = "; threads: " + ", ".join(f"{name} {count}" for name, count in threads.items())
    worst = [
        round_["foreign"] for round_ in case["rounds"] if round_["kept"] and round_["foreign"] is not None
    ]
    load = f"; foreign load {statistics.median(worst):.0%} (at most {max(worst):.0%})" if worst else ""
    count = sum(round_["kept"] for round_ in case["rounds"])
    work = f" ({sum(case['flops'].values()) / 1e9:.1f} GFLOP)" if case["flops"] else ""
    rounds_text = "1 round" if count == 1 else f"{count} rounds"
    return (
        f"- `{case['name']}`: {case['title']}; time of one {case['unit']}{work}; {rounds_text}{load}{used}"
        + (f"; {settings}" if settings else "")
        + "."
    )
