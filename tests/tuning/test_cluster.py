import os
import subprocess
import sys

import pytest

from raydd.config import ResourcesConfig
from raydd.errors import ConfigError, StageFailed
from raydd.tuning import cluster


def test_ray_client_addresses_are_refused_with_the_reason():
    with pytest.raises(ConfigError, match="'ray://head:10001' is a Ray Client address"):
        cluster.check(ResourcesConfig(address="ray://head:10001"))


def test_more_than_the_machine_has_is_refused_before_ray_starts():
    with pytest.raises(
        ConfigError, match=r"resources\.cpus_per_trial: 10000 are asked for, this machine has \d+"
    ):
        cluster.check(ResourcesConfig(cpus_per_trial=10000))


@pytest.mark.parametrize(
    ("device", "share", "sentence"),
    [
        ("cuda", 0.0, "'cuda' needs a share of a GPU for every trial"),
        ("cuda:7x", 0.0, "'cuda:7x' is not one of auto, cpu, cuda"),
        ("gpu", 0.0, "'gpu' is not one of auto, cpu, cuda"),
        ("cuda:1", 0.5, "'cuda:1' cannot be chosen"),
    ],
)
def test_a_device_that_trials_will_not_have_is_refused(device, share, sentence):
    with pytest.raises(ConfigError, match=sentence):
        cluster.check(ResourcesConfig(gpus_per_trial=share), device)


def test_a_cluster_that_holds_no_trial_is_said_at_once():
    with pytest.raises(StageFailed, match=r"it has 4 CPUs and 0 GPUs, and a trial takes 1 and 0\.5"):
        cluster.slots(FakeRay(CPU=4), ResourcesConfig(gpus_per_trial=0.5))


class FakeRay:
    """Only the resources of a cluster; the arithmetic is what is tested."""

    def __init__(self, **resources):
        self.resources = resources

    def cluster_resources(self):
        return self.resources


@pytest.mark.parametrize(
    ("cpus", "gpus", "per_trial", "expected"),
    [
        (16, 4, (1, 1 / 3), 12),
        (16, 4, (2, 0.25), 8),
        (16, 4, (4, 2.0), 2),
        (8, 0, (3, 0.0), 2),
        (8, 1, (1, 0.3), 3),
    ],
)
def test_slots_are_what_cpus_and_shares_of_single_gpus_allow(cpus, gpus, per_trial, expected):
    resources = ResourcesConfig(cpus_per_trial=per_trial[0], gpus_per_trial=per_trial[1])
    assert cluster.slots(FakeRay(CPU=cpus, GPU=gpus), resources) == expected


@pytest.mark.integration
def test_a_ray_of_ours_lets_nobody_in_without_its_token(tmp_path):
    with cluster.session(ResourcesConfig()) as ray:
        address = ray.get_runtime_context().gcs_address
        code = f"import ray; ray.init('{address}', log_to_driver=False); print('in', ray.cluster_resources())"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        outside = {**environment, "HOME": str(tmp_path)}
        stranger = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=outside
        )
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": os.environ["RAY_AUTH_TOKEN_PATH"]}
        friend = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            env={**outside, **token},
        )
        assert ray.get(ray.remote(lambda: 7).remote()) == 7
    assert stranger.returncode != 0
    assert "in {" not in stranger.stdout
    assert "in {" in friend.stdout, friend.stderr
    assert "RAY_AUTH_TOKEN_PATH" not in os.environ
