"""One row of the table for one seed: distilled, and evaluated on test at the start, at the end and at equal steps."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.table.distilling import distil, selection
from raydd import files, measures
from raydd.distillation.regions import RegionSelector
from raydd.errors import ConfigError
from raydd.evaluation import evaluate

if TYPE_CHECKING:
    from benchmarks.table.bench import Bench
    from benchmarks.table.plan import Row
    from raydd.storage import DistilledSet

Known = dict[str, dict[str, Any]]
"""Evaluations by what they depend on: two rows with one set are evaluated once."""


def measure(
    bench: Bench, row: Row, seed: int, steps: Iterable[int], known: Known, weights: dict[str, str]
) -> dict[str, Any]:
    """Distil and evaluate; a JSON-able record without the bench's settings.

    Args:
        bench: see `Bench`.
        row: of the table.
        seed: of the distillation, its initial images and the evaluation's networks.
        steps: optimisation steps that the final set is evaluated at, its own among them.
        known: evaluations made before; new ones are added.
        weights: sha256 of the assets that other rows were measured with, by name; new ones are added.

    Raises:
        ConfigError: an asset is not the one that other rows were measured with. Trained anew on another CPU it has
            other bits, and seeds of one table would differ by more than their seed.
    """
    method, context, numbers = bench.numbers(row)
    trained = bench.make_assets(row)
    for name, sha256 in trained.items():
        if weights.setdefault(name, sha256) != sha256:
            raise ConfigError(
                f"--home: {bench.home} holds another {name} (sha256 {sha256[:16]}) than other rows were measured with "
                f"({weights[name][:16]}); take their home, or begin another ROWS"
            )
    begun = time.perf_counter()
    own = bench.steps(row)
    record: dict[str, Any] = {"row": row.name, "ipc": row.ipc, "seed": seed, "assets": trained}
    evaluations = []
    if row.method is None:
        final = selection(bench, row, method, context, numbers, seed)
    else:
        initial, final, way = distil(bench, method, context, numbers, seed)
        record |= way
        if bench.judged(row):
            record["mue"] = {"initial": _mue(bench, initial), "final": _mue(bench, final)}
        evaluations.append({"stage": "initial", **_evaluated(bench, row, initial, seed, own, known)})
    for count in sorted({own, *steps}):
        stage = "final" if count == own else "final at equal steps"
        evaluations.append({"stage": stage, **_evaluated(bench, row, final, seed, count, known)})
    if row.family is not None:
        hard = _evaluated(bench, row, final, seed, own, known, "hard")
        evaluations.append({"stage": "hard labels", **hard})
        record |= {"teacher": bench.teacher(row), "teacher_bytes": final.teacher_bytes}
    return {
        **record,
        "evaluations": evaluations,
        "images": len(final.labels()),
        "bytes": final.stored_bytes,
        "label_regime": "hard" if row.family is None else "soft",
        "seconds": time.perf_counter() - begun,
        "computed": bench.compute.facts(),
    }


def _evaluated(
    bench: Bench,
    row: Row,
    distilled: DistilledSet,
    seed: int,
    steps: int,
    known: Known,
    regime: str | None = None,
) -> dict[str, Any]:
    recipe = {name: value for name, value in distilled.recipe.items() if name not in ("net", "epochs")}
    images, labels = distilled.images(), distilled.labels()
    asked = {
        "recipe": recipe,
        "net": bench.net(row),
        "repeats": bench.settings["repeats"],
        "steps": steps,
        "seed": seed,
        "data": bench.data.fingerprint,
        "computed": bench.compute.facts(),
    }
    if row.family is not None:
        asked |= {"labels": regime or distilled.manifest["labels"]}
    content = hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes())
    content.update(json.dumps(asked, sort_keys=True).encode())
    key = content.hexdigest()[:32]
    if key not in known:
        result = evaluate(
            distilled,
            bench.data,
            net=bench.net(row),
            labels=regime,
            steps=steps,
            repeats=bench.settings["repeats"],
            seed=seed,
            split="test",
            device=str(bench.compute.device),
            precision=bench.compute.precision,
            compiled=bench.compute.compiled,
        )
        known[key] = {
            "key": key,
            "epochs": result.epochs,
            "optimisation_steps": result.optimisation_steps,
            "protocol": result.protocol,
            "values": list(result.values),
            "mean": result.mean,
            "seconds": result.seconds,
        }
        if result.teacher_accuracy is not None:
            known[key]["teacher_accuracy"] = result.teacher_accuracy
    return known[key]


def _mue(bench: Bench, distilled: DistilledSet) -> dict[str, float]:
    """mUE of the stored images, by the network that judges UDD's regions, in both scalings."""
    (net,) = bench.assets.get(bench.judge)
    factor = int(distilled.manifest["decode"].get("factor", 1))
    selector = RegionSelector(
        net, bench.compute, bench.data.normalisation, bench.data.size, factor, len(distilled.pixels)
    )
    maps = selector.maps(distilled.pixels.to(bench.compute.device), distilled.targets)
    return {scale: measures.mue(maps, scale) for scale in ("min_max", "max")}


def read(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of `path` that were measured with these settings."""
    return [row for row in files.read_jsonl(path) if row["settings"] == dict(settings)]
