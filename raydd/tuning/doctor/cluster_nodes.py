"""Ray: a local one is started, or a cluster joined, and every node is asked what it sees and whether it can write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from raydd import config as configuration
from raydd import registry
from raydd.errors import StageFailed
from raydd.tuning import cluster, preflight
from raydd.tuning.doctor.check import FAILED, OK, WARNING, Check

UNSAID = "; nothing was started"


def ray_works(home: Path, address: str | None) -> Iterator[Check]:
    """Start or join a Ray, and look at each of its nodes as a study would before it starts.

    Args:
        home: folder that every node has to write into.
        address: of a cluster; None starts a Ray here.
    """
    config = configuration.build(
        {
            "method": sorted(registry.names())[0],
            "home": str(home),
            "resources": {"address": address},
            "tracking": {"uri": None},
        }
    )
    if address is not None:
        cluster.check_address(address)
    where = "a Ray of its own" if address is None else f"the cluster at {cluster.located(address)}"
    with cluster.session(config.resources) as ray:
        nodes = cluster.nodes(ray)
        total = ray.cluster_resources()
        count = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
        size = f"{total.get('CPU', 0):g} CPUs, {total.get('GPU', 0):g} GPUs"
        yield Check("ray", OK, f"{ray.__version__}: {where} with {count}, {size}")
        try:
            room = cluster.slots(ray, config.resources)
            yield Check("ray trials", OK, f"{room} trials of one CPU fit at once")
        except StageFailed as error:
            yield Check("ray trials", FAILED, str(error), "give the nodes CPUs (ray start --num-cpus)")
        problems = preflight.look(ray, config, home)
        for node in nodes:
            name = f"node {node['NodeManagerHostname']}"
            known = f"{name} ({node['NodeManagerAddress']}) "
            wrong = [problem for problem in problems if problem.startswith(known)]
            for problem in wrong:
                found, _, remedy = problem.removeprefix(known).removesuffix(UNSAID).partition("; ")
                yield Check(name, FAILED, found, remedy)
            if not wrong:
                yield Check(name, OK, f"has the same raydd and torch, and writes into {home}")


def token_set() -> Iterator[Check]:
    """Whether a cluster would ask for a token, which Ray alone does not."""
    import os

    if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        yield Check(
            "ray token",
            WARNING,
            "RAY_AUTH_MODE=disabled: whoever reaches this machine may run code in a study",
            "unset it; raydd gives every Ray that it starts a token",
        )
