"""One row of the table for one seed: distilled, and evaluated on test at the start, at the end and at equal steps."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.table.distilling import distil, selection
from benchmarks.table.plan import TEACHERS, Row
from raydd import devices, files, jobs, measures, registry
from raydd.distillation.baselines import feature_network
from raydd.distillation.regions import RegionSelector
from raydd.evaluation import evaluate, protocols
from raydd.storage import AssetStore, DistilledSet

if TYPE_CHECKING:
    from pydantic import BaseModel

    from raydd.data import DataSplits
    from raydd.registry import Context, Method

Known = dict[str, dict[str, Any]]
"""Evaluations by what they depend on: two rows with one set are evaluated once."""


SMALL = 5_000
"""Training images below which networks are trained more epochs, for as many steps, and ResNets are narrow."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """Where and how all rows are measured.

    Attributes:
        data: the dataset.
        home: folder of assets and target banks.
        compute: device, precision and path.
        settings: `iterations`, `epochs`, `repeats`, `net`, and whatever else the results depend on; `teachers`, where
            there are other ones than the plan's (family -> specification).
    """

    data: DataSplits
    home: Path
    compute: devices.Compute
    settings: Mapping[str, Any]

    @property
    def assets(self) -> AssetStore:
        """Assets, and beside them the banks."""
        return AssetStore(self.home / "assets", self.data, self.compute)

    def numbers(self, row: Row) -> tuple[Method, Context, BaseModel]:
        """The method whose recipe a row is evaluated with, its context and its hyperparameters."""
        method = registry.get(row.method or row.like)
        values = {
            **({"net": self.settings["net"]} if row.family is None else self.teacher(row)),
            **row.values,
        }
        if row.method in ("idc", "udd") and self.settings["idc_lr_img"] is not None:
            values["lr_img"] = self.settings["idc_lr_img"]
        if row.method == "udd":
            values["proxy_epochs"] = self.settings["feature_epochs"]
            values["proxy_net"] = self.settings["net"]
        context = jobs.context_of(
            method,
            self.data,
            ipc=row.ipc,
            iterations=self.settings["iterations"],
            fixed=values,
            precision=self.compute.precision,
            compiled=self.compute.compiled,
        )
        return method, context, jobs.resolve(method, context, values)

    def make_assets(self, method: Method, context: Context) -> None:
        """Train what a method needs where it is not there; the time of a row is without it."""
        for spec in method.assets(context):
            self.assets.get(spec)

    @property
    def small(self) -> bool:
        """Whether the data are few and small, as digits are."""
        return len(self.data.train) < SMALL

    def teacher(self, row: Row) -> dict[str, Any]:
        """What a row's hyperparameters say of its teacher."""
        assert row.family is not None
        chosen = TEACHERS[row.family]
        net, epochs = (chosen.small_net, chosen.small_epochs) if self.small else (chosen.net, chosen.epochs)
        net = self.settings.get("teachers", {}).get(row.family, net)
        return {"teacher": net, "teacher_epochs": epochs}

    def net(self, row: Row) -> str:
        """The network that is trained on a row's set."""
        return str(self.settings["net"] if row.family is None else self.teacher(row)["teacher"])

    def protocol(self, row: Row) -> str:
        """Name of the protocol that networks are trained by on a row's set."""
        method, context, _ = self.numbers(row)
        return method.protocol_for(context)

    def images(self, row: Row) -> int:
        """Images that a network is trained on."""
        if row.method is None:
            return self.data.classes * row.ipc
        method, context, numbers = self.numbers(row)
        return method.training_images(context, numbers.model_dump())

    def steps(self, row: Row) -> int:
        """Optimisation steps of a network trained on the row's set for the budget's epochs."""
        recipe = protocols.get(self.protocol(row)).recipe("", self.settings["epochs"])
        return recipe.epochs * math.ceil(self.images(row) / recipe.batch)


def measure(bench: Bench, row: Row, seed: int, steps: Iterable[int], known: Known) -> dict[str, Any]:
    """Distil and evaluate; a JSON-able record without the bench's settings.

    Args:
        bench: see `Bench`.
        row: of the table.
        seed: of the distillation, its initial images and the evaluation's networks.
        steps: optimisation steps that the final set is evaluated at, its own among them.
        known: evaluations made before; new ones are added.
    """
    method, context, numbers = bench.numbers(row)
    if row.method is not None:
        bench.make_assets(method, context)
    begun = time.perf_counter()
    own = bench.steps(row)
    record: dict[str, Any] = {"row": row.name, "ipc": row.ipc, "seed": seed}
    evaluations = []
    if row.method is None:
        final = selection(bench, row, method, context, numbers, seed)
    else:
        initial, final, way = distil(bench, method, context, numbers, seed)
        record |= way
        if final.manifest["pixels"] == "unit":
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
    spec = feature_network(bench.settings["net"], bench.data, bench.settings["feature_epochs"])
    (net,) = bench.assets.get(spec)
    factor = int(distilled.manifest["decode"].get("factor", 1))
    selector = RegionSelector(
        net, bench.compute, bench.data.normalisation, bench.data.size, factor, len(distilled.pixels)
    )
    maps = selector.maps(distilled.pixels.to(bench.compute.device), distilled.targets)
    return {scale: measures.mue(maps, scale) for scale in ("min_max", "max")}


def read(path: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of `path` that were measured with these settings."""
    return [row for row in files.read_jsonl(path) if row["settings"] == dict(settings)]
