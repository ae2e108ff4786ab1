"""Memory and disk that a study takes, from what was measured of a trial; all in bytes."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

from raydd import workload
from raydd.storage import bank
from raydd.storage.trial import KEPT_CHECKPOINTS
from raydd.tuning import shares
from raydd.tuning.measurement import Measured
from raydd.tuning.plan import Plan, trial_iterations


def memory_use(found: Measured, share: float, concurrency: int) -> dict[str, Any]:
    """Peak of a trial against the machine's, in bytes, and how many trials fit at once."""
    machine = shares.machine_memory()
    use: dict[str, Any] = {
        "peak": found.memory,
        "machine": machine,
        "fit_at_once": machine // found.memory,
        "at_once": concurrency * found.memory,
    }
    if found.gpu_total:
        use |= {
            "gpu_peak": found.gpu_memory,
            "gpu": found.gpu_total,
            "gpu_share": int(min(share, 1.0) * found.gpu_total),
            "gpu_fit_at_once": int(found.gpu_total // max(1.0, found.gpu_memory * shares.HEADROOM)),
        }
    return use


def disk_use(plan: Plan, found: Measured, concurrency: int) -> dict[str, Any]:
    """Bytes that the study leaves or needs on the way, and the share of the search's real sides that are kept."""
    config, home = plan.config, Path(plan.config.home)
    tasks = workload.units(config, plan.method, plan.context, plan.data)
    runs = [unit for unit in tasks if unit.kind != "real"]
    seeds = 1 + config.confirm.rerank_seeds + config.confirm.report_seeds
    whole = math.ceil(trial_iterations(plan.method, plan.context, plan.points[0].values) / bank.BLOCK)
    wanted = whole * found.block_bytes
    free = _free(home)
    limit = min(bank.limit_gb() * 2**30 - _used(home / "bank"), free - bank.KEEP_FREE_GB * 2**30)
    room = max(0.0, limit)
    use = {
        "checkpoints": found.checkpoint_bytes * KEPT_CHECKPOINTS * concurrency,
        "sets": found.set_bytes * (config.search.trials + len(runs)),
        "bank": int(min(room, wanted * seeds)),
        "artifacts": found.set_bytes * (config.search.trials + 1),
        "assets": found.asset_bytes * (2 if config.confirm.fit == "train+val" else 1),
    }
    return {
        **use,
        "sum": sum(use.values()),
        "free": free,
        "bank_wanted": wanted * seeds,
        "bank_share": min(1.0, room / wanted) if wanted else 0.0,
        "checkpoint_bytes": found.checkpoint_bytes,
        "checkpoints_kept": KEPT_CHECKPOINTS * concurrency,
    }


def _free(home: Path) -> int:
    while not home.exists():
        home = home.parent
    return shutil.disk_usage(home).free


def _used(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors")) if folder.exists() else 0
