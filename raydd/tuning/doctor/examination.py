"""All looks, in the order in which they build on each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from raydd.tuning import store_uri
from raydd.tuning.doctor import cluster_nodes, machine, store
from raydd.tuning.doctor.check import Check, guarded

INSTALL = "install raydd anew: pip install raydd"


def examine(home: Path, uri: str, address: str | None) -> Iterator[Check]:
    """Look at everything, each as soon as it is asked for.

    Args:
        home: folder of all studies; nothing stays in it.
        uri: of the tracking store.
        address: of a Ray cluster; None starts a Ray here.
    """
    yield from guarded("python", machine.python, INSTALL)
    yield from guarded("packages", machine.packages, INSTALL)
    yield from guarded("torch", machine.torch_works, "install another build of torch and torchvision")
    yield from guarded("gpu", machine.gpus, "see nvidia-smi: driver and torch may not fit together")
    yield from guarded("compiler", machine.compiler, "leave --compile at auto, which then does without")
    yield from guarded("disk", lambda: machine.disks(home), "see df")
    yield from guarded("data cache", machine.data_cache, "let RAYDD_CACHE name a folder that can be written")
    yield from guarded("optuna", store.journal, "pip install 'optuna>=5,<6'")
    yield from guarded("ray token", cluster_nodes.token_set, "unset RAY_AUTH_MODE")
    yield from guarded(
        "ray", lambda: cluster_nodes.ray_works(home, address), "see `ray status` and Ray's logs in /tmp/ray"
    )
    shown = store_uri.redact(uri)
    yield from guarded(
        "tracking", lambda: store.tracking(uri, home), f"look at the server's log; the store is {shown}"
    )
