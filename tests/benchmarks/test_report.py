from __future__ import annotations

import json
import math
from typing import Any

import pytest

from benchmarks import report
from benchmarks.case import Case, Side, Work
from benchmarks.results import CaseResult, SideResult
from benchmarks.rounds import Round

CASE = Case(
    name="step",
    module=__name__,
    title="one step",
    unit="step",
    sides=(
        Side("reference", lambda settings: Work()),
        Side("mixed", lambda settings: Work(), "mixed", rtol=1e-3),
    ),
    full={"ipc": 10, "data": "/home/someone/pictures"},
    quick={},
)
PEAK = {"fp32": 4e11, "bf16": 8e11}


def result(*foreign: float | None, **changes: Any) -> CaseResult:
    rounds = [Round({"reference": 4.0, "mixed": 1.0 + i}, load, PEAK) for i, load in enumerate(foreign)]
    ours: dict[str, Any] = {
        "threads": 2,
        "build_seconds": 0.5,
        "warmup_seconds": [12.0, 1.0],
        "memory": 1_500_000_000,
        "values": {"loss": 2.0},
        "difference": 2e-7,
        **changes,
    }
    sides = [SideResult("reference", threads=2, warmup_seconds=[4.0]), SideResult("mixed", **ours)]
    flops = {"real": 4e11, "synthetic": 1e11}
    return CaseResult(CASE, CASE.full, len(foreign), flops, sides, rounds, {"torch": "9"})


def text_of(*results: CaseResult, quick: bool = False) -> str:
    software = {"python": "3.12", "torch": "9", "capability": "AVX9"}
    return report.markdown(report.document(results, software, quick))


def test_a_row_has_time_ratio_share_memory_first_run_and_difference() -> None:
    text = text_of(result(0.0, 0.0, 0.0))
    assert "| `step` | reference | 4000 ms (4000 ms to 4000 ms) | 1 | 31% | - | 4000 ms | - |" in text
    # ideal 0.5 s + 0.25 s; times 1, 2 and 3 s
    assert (
        "|  | mixed | 2000 ms (1000 ms to 3000 ms) | 2.00 (1.33 to 4.00) | 38% | 1.5 GB | 12 s | 2e-07 |"
        in text
    )
    assert "fp32 400 (400 to 400); bf16 800 (800 to 800)" in text
    assert "torch 9 (AVX9)" in text
    assert "3 rounds; foreign load 0% (at most 0%); threads: 2; ipc 10, data pictures." in text
    assert "/home/someone" not in text
    assert "Do not quote" not in text
    assert "**" not in text


def test_a_quick_run_says_so() -> None:
    assert "Do not quote it" in text_of(result(0.0), quick=True)


def test_foreign_load_that_could_not_be_avoided_is_a_warning() -> None:
    text = text_of(result(0.0, 0.25, 0.4))
    assert "step: other processes used up to 40% of the cores in 2 of 3 rounds" in text
    unknown = text_of(result(None))
    assert "this system does not say what other processes use" in unknown
    assert "foreign load 0%" not in unknown


@pytest.mark.parametrize("difference", [0.5, math.inf])
def test_a_side_that_computes_something_else_is_a_warning(difference: float) -> None:
    wrong = result(0.0, difference=difference, values={"loss": math.nan})
    assert wrong.failed
    assert not result(0.0, difference=9e-4).failed
    assert "step, mixed: computes something else than the reference" in text_of(wrong)


def test_the_document_is_json_with_every_raw_number() -> None:
    found = result(0.0, 0.3, difference=math.inf, values={"loss": math.nan})
    found.wanted = 1
    document = report.document([found], {"python": "3.12"}, quick=False)
    again = json.loads(json.dumps(document, allow_nan=False))
    [case] = again["cases"]
    assert [round_["seconds"]["mixed"] for round_ in case["rounds"]] == [1.0, 2.0]
    assert [round_["kept"] for round_ in case["rounds"]] == [True, False]
    assert [round_["flagged"] for round_ in case["rounds"]] == [False, True]
    assert [round_["foreign"] for round_ in case["rounds"]] == [0.0, 0.3]
    assert case["sides"][1]["ratio"] == {"median": 4.0, "low": 4.0, "high": 4.0}
    assert case["sides"][1]["warmup_seconds"] == [12.0, 1.0]
    assert again["peak"]["fp32"]["median"] == 4e11
    assert again["machine"]["cores"] >= 1
