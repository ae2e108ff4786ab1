"""UDD's arithmetic: what the choice of regions adds to IDC's."""

from __future__ import annotations

import pytest

from raydd import nets
from raydd.errors import ConfigError, RayddError
from raydd.registry import Context
from trainables.idc import IDC
from trainables.iid import IIDHyperparameters
from trainables.udd import UDD, UDDHyperparameters

CONTEXT = Context("cifar10", channels=3, size=32, classes=10, ipc=10, iterations=100)


@pytest.mark.parametrize(
    ("values", "inputs"),
    [
        ({}, 4),  # the sub-images
        ({"policy": "auto"}, 4),
        ({"region_source": "image"}, 1),
        ({"factor": 3}, 9),
        ({"scheme": "crop"}, 4 * 9),
        ({"scheme": "crop", "policy": "most_used", "grid_size": 2}, 4 * 4),
        ({"policy": "jitter", "jitter_draws": 3}, 4 * (1 + 3 * 9)),
        ({"policy": "jitter", "region_scale": (0.5, 0.25), "jitter_draws": 1}, 4 * (1 + 18)),
        ({"policy": "random", "scheme": "crop"}, 0),
    ],
)
def test_the_choice_of_regions_is_shared_by_the_steps_until_the_next(values: dict, inputs: int) -> None:
    settings = UDDHyperparameters(
        **{"proxy_net": "resnet18-w8", "inner_loop": 20, "research_every": 5, **values}
    ).model_dump() | {"batch_syn_max": 1}  # one view is matched, with regions or without
    proxy = nets.gigaflops("resnet18-w8", channels=3, size=32, classes=10)
    own = {name: settings[name] for name in IDC.hyperparameters.model_fields}
    added = UDD.gigaflops(CONTEXT, settings) - IDC.gigaflops(CONTEXT, own)
    assert added == pytest.approx(100 * inputs * proxy / (20 * 5))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"net": "mlp-w16"}, "net: 'mlp-w16' has no convolutions"),
        ({"proxy_net": "mlp"}, "proxy_net: 'mlp' has no convolutions, and policy response"),
        ({"proxy_net": "mlp", "policy": "most_used"}, "proxy_net: 'mlp' .*policy jitter, or scheme crop"),
        ({"proxy_net": "lenet", "response_form": "evidence"}, "'evidence' is not defined for LeNet"),
    ],
)
def test_networks_that_cannot_work_are_refused_before_anything_is_trained(
    values: dict, sentence: str
) -> None:
    with pytest.raises(RayddError, match=sentence):
        UDD.check(CONTEXT, UDDHyperparameters(**values).model_dump())


@pytest.mark.parametrize(
    "values",
    [
        {"proxy_net": "mlp", "policy": "jitter"},
        {"proxy_net": "mlp", "scheme": "crop"},
        {"proxy_net": "resnet18-w8", "response_form": "evidence"},
        {"proxy_net": "lenet"},
    ],
)
def test_networks_that_work_are_not_refused(values: dict) -> None:
    UDD.check(CONTEXT, UDDHyperparameters(**values).model_dump())


def test_a_network_with_batch_norm_is_refused_under_its_own_name() -> None:
    with pytest.raises(ConfigError, match="proxy_net: 'resnet18-bn' has batch norm"):
        UDDHyperparameters(proxy_net="resnet18-bn")
    with pytest.raises(ConfigError, match="pool_net: 'resnet18-bn' has batch norm"):
        IIDHyperparameters(pool_net="resnet18-bn")
