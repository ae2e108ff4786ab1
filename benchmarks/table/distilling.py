"""The set of one row of the table for one seed: distilled now, or chosen among real images."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from raydd.distillation.baselines import random_real, select, selected_real

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from benchmarks.table.bench import Bench
    from benchmarks.table.plan import Row
    from raydd.registry import Context, Method
    from raydd.storage import DistilledSet


def selection(
    bench: Bench, row: Row, method: Method, context: Context, numbers: BaseModel, seed: int
) -> DistilledSet:
    """Real images, with the recipe of the method that they are compared with."""
    device = bench.compute.device
    recipe = method.recipe(numbers, context, bench.data, bench.assets, device)
    if row.selection == "random":
        chosen = random_real(bench.data, context, recipe, seed)
        return method.labelled(chosen, numbers, context, bench.data, bench.assets, device)
    assert row.selection is not None
    (net,) = bench.assets.get(bench.judge)
    rows = select(net, bench.data, row.ipc, [row.selection], bench.compute)[row.selection]
    return selected_real(
        row.selection, rows.tolist(), {"features": bench.judge.net}, bench.data, context, recipe
    )


def distil(
    bench: Bench, method: Method, context: Context, numbers: BaseModel, seed: int
) -> tuple[DistilledSet, DistilledSet, Mapping[str, Any]]:
    """The initial set, the final one, and what is recorded of the way between them."""
    begun = time.perf_counter()
    distiller = method.distiller(numbers, context, bench.data, bench.assets, seed, bench.compute.device)
    initial = distiller.distilled()
    losses = []
    while distiller.progress < 1.0 - 1e-9:
        losses.append(dict(distiller.step()))
    final = distiller.distilled()
    return (
        initial,
        final,
        {
            "distill_seconds": time.perf_counter() - begun,
            "losses": {"first": losses[0], "last": losses[-1]},
            "measures": dict(distiller.measures()),
            "hyperparameters": final.manifest["hyperparameters"],
            "steps_a_second": len(losses) / (time.perf_counter() - begun),
        },
    )
