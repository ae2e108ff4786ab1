"""A network trained a batch at a time: torch's SGD on the mean cross-entropy, stopped and continued."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from raydd import nets
from raydd.devices import Compute
from raydd.nets import Network, Passes
from raydd.training import OnlineNet

torch.set_num_threads(1)  # threads of tiny tensors only wait for each other
CPU = Compute(torch.device("cpu"))


def net() -> Network:
    return nets.build("convnet-w8", channels=3, size=8, classes=3, generator=torch.Generator().manual_seed(3))


def online(momentum: float) -> OnlineNet:
    return OnlineNet(net(), Passes(CPU, image_gradient=False, batch=6, size=8), 0.1, momentum, 5e-4)


def batches(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    stream = torch.Generator().manual_seed(0)
    return [
        (torch.randn(6, 3, 8, 8, generator=stream), torch.randint(3, (6,), generator=stream))
        for _ in range(count)
    ]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_are_those_of_plain_sgd_and_the_logits_come_before_them(momentum: float) -> None:
    plain, ours = net(), online(momentum)
    optimiser = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=momentum, weight_decay=5e-4)
    for images, labels in batches(4):
        logits = plain(images)
        torch.testing.assert_close(ours.step(images, labels), logits.detach(), rtol=1e-5, atol=1e-6)
        optimiser.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimiser.step()
    for name, weights in ours.weights().items():
        torch.testing.assert_close(weights, plain.get_parameter(name).detach(), rtol=1e-5, atol=1e-6)


def test_no_gradients_are_kept_between_steps() -> None:
    ours = online(0.9)
    ours.step(*batches(1)[0])
    assert all(parameter.grad is None for parameter in ours.net.parameters())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("before", [0, 2])
def test_a_state_continues_bit_for_bit_even_before_the_first_step(momentum: float, before: int) -> None:
    whole, first, second = online(momentum), online(momentum), online(momentum)
    steps = batches(5)
    for batch in steps:
        whole.step(*batch)
    for batch in steps[:before]:
        first.step(*batch)
    state = first.state_dict()
    first.step(*steps[before])  # a state is a copy
    second.load_state_dict(state)
    for batch in steps[before:]:
        second.step(*batch)
    assert all(torch.equal(weights, whole.weights()[name]) for name, weights in second.weights().items())
