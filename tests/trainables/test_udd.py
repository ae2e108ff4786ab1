"""UDD's arithmetic: what the choice of regions adds to IDC's."""

from __future__ import annotations

import pytest

from raydd import nets
from raydd.registry import Context
from trainables.idc import IDC
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
