"""Nodes of a Ray cluster that die: one in every `make test`, five in `make chaos`, and one whose link is cut."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from raydd.tuning import cluster as own


class Nodes:
    """A cluster on this machine: a head that runs nothing, and nodes of one CPU each."""

    def __init__(self, count: int) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "object_store_memory": 10**8, "include_dashboard": False},
        )
        self.nodes = [self.add() for _ in range(count)]

    def add(self) -> Any:
        return self.cluster.add_node(num_cpus=1, object_store_memory=10**8)

    def kill(self, which: int) -> None:
        """As suddenly as a machine that loses its power."""
        self.cluster.remove_node(self.nodes[which], allow_graceful=False)
        self.nodes[which] = self.add()


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with own._fresh_token():
        made = Nodes(2)
        yield made
        made.cluster.shutdown()


def node_of(study: Any, number: int) -> str:
    trial = study.study.trial_files(number)
    return str(trial.begun(trial.attempts()[-1]).get("node", ""))


def kill_a_node_that_works(study: Any, nodes: Nodes, choose: Callable[[list[int]], int]) -> None:
    number = choose(sorted(study.workers()))
    nodes.kill([node.node_id for node in nodes.nodes].index(node_of(study, number)))


@pytest.mark.integration
def test_trials_of_a_node_that_dies_go_on_elsewhere(
    chaos: Callable[..., Any], wait_for: Callable[..., Any], nodes: Nodes
) -> None:
    address = nodes.cluster.address
    study = chaos("node", resources__address=address, iterations=600, search__trials=2, confirm__baselines=[])
    study.start()
    wait_for(lambda: study.reached(1, 0.3), what="the report of trial 1")
    kill_a_node_that_works(study, nodes, lambda numbers: numbers[0])
    assert study.wait() == 0, study.tail()
    account = study.check()
    assert account["attempts"] > account["asked"]


@pytest.mark.slow
def test_five_nodes_die_one_after_the_other(
    chaos: Callable[..., Any],
    wait_for: Callable[..., Any],
    lasting: Callable[[float], int],
    nodes: Nodes,
    moments: random.Random,
) -> None:
    study = chaos("nodes", resources__address=nodes.cluster.address, iterations=lasting(90.0))
    study.start()
    kills = 0
    while kills < 5 and study.alive():
        wait_for(lambda: not study.alive() or study.workers(), what="a worker")
        time.sleep(moments.uniform(2.0, 15.0))
        if study.workers():
            kill_a_node_that_works(study, nodes, moments.choice)
            kills += 1
    assert study.wait(seconds=2400) == 0, study.tail()
    assert kills == 5
    study.check(kills=kills)
