from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import parity


def rows(**means: list[float]) -> list[dict[str, object]]:
    return [
        {"seed": seed, "distilled": pair.split("_")[0], "evaluated": pair.split("_")[1], "mean": mean}
        for pair, values in means.items()
        for seed, mean in enumerate(values)
    ]


def test_each_question_is_answered_by_its_own_paired_differences() -> None:
    text = parity.summary(
        rows(
            fp32_fp32=[0.40, 0.42, 0.44],
            fp32_mixed=[0.401, 0.421, 0.441],  # + 0.1 points in every pair
            mixed_fp32=[0.38, 0.43, 0.45],  # -2, +1, +1: mean 0, sd 1.73, half-width 4.30
            mixed_mixed=[0.38, 0.43, 0.45],
        )
    )
    assert "distilled in fp32, evaluated in fp32: 42.0 [37.0, 47.0], 3 seeds" in text
    assert "evaluating in mixed - in fp32: +0.10 [+0.10, +0.10] points: within 1 point" in text
    assert (
        "distilling in mixed - in fp32: +0.00 [-4.30, +4.30] points: not shown to be within 1 point" in text
    )


@pytest.mark.slow
def test_a_second_call_measures_only_what_is_missing(tmp_path: Path) -> None:
    def run(seeds: int) -> subprocess.CompletedProcess[str]:
        small = ["--iterations", "2", "--epochs", "2", "--repeats", "1", "--net", "convnet-w8", "--ipc", "1"]
        command = [sys.executable, "-m", "benchmarks.parity", str(tmp_path / "rows.jsonl"), "--method", "dm"]
        return subprocess.run(
            [*command, *small, "--seeds", str(seeds), "--home", str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
        )

    first = run(2)
    assert first.stdout.count('"seed"') == 8
    again = run(2)
    assert again.stdout.count('"seed"') == 0
    assert again.stdout.splitlines() == first.stdout.splitlines()[8:]
    means = [json.loads(line)["mean"] for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(means) == 8
    assert all(0.0 <= mean <= 1.0 for mean in means)


def test_one_seed_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.parity", str(tmp_path / "rows.jsonl"), "--seeds", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "error: --seeds: must be at least 2, got 1\n"
