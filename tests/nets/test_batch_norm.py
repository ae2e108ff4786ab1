"""Networks with batch norm: how they start, and that passes in train mode see the whole batch."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raydd import nets
from raydd.devices import Compute
from raydd.nets import Network, Passes, convnet_gradients
from raydd.seeding import forked_rng, generator

CPU = torch.device("cpu")
torch.set_num_threads(1)  # threads of tiny tensors only wait for each other

SPECS = ["convnet-w4-bn", "resnet18-w2-bn"]


def small(spec: str) -> Network:
    return nets.build(spec, channels=3, size=8, classes=3, generator=generator(0, "net"))


def batch(count: int) -> tuple[Tensor, Tensor]:
    images = torch.randn(count, 3, 8, 8, generator=generator(0, "images"))
    return images, F.softmax(torch.randn(count, 3, generator=generator(0, "targets")), dim=1)


def passes(part: int, compiled: bool = False) -> Passes:
    made = Passes(Compute(CPU, "fp32", compiled), image_gradient=False, batch=part, size=8)
    made.part = part
    return made


def norms(net: Network) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize("spec", SPECS)
def test_norms_start_as_torchs_and_can_be_started_again(spec: str) -> None:
    net = small(spec)
    assert not any(isinstance(module, nn.GroupNorm) for module in net.modules())
    with torch.no_grad():
        net(batch(4)[0])
    nets.initialise(net, generator(0, "net"))
    for ours in norms(net):
        theirs = nn.BatchNorm2d(ours.num_features)
        assert (ours.eps, ours.momentum, ours.affine) == (theirs.eps, theirs.momentum, True)
        for name, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value), name


def test_only_the_norms_differ_from_the_network_without() -> None:
    plain, other = small("resnet18-w2"), small("resnet18-w2-bn")
    for (name, a), (same, b) in zip(plain.named_parameters(), other.named_parameters(), strict=True):
        assert name == same
        assert torch.equal(a, b)
    assert len(norms(other)) == 20


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("part", [3, 10, 64])
def test_a_training_pass_is_one_pass_over_the_whole_batch(spec: str, part: int) -> None:
    net, (images, targets) = small(spec).train(), batch(10)
    plain = copy.deepcopy(net)
    logits = passes(part).backward(net, images, targets)
    expected = plain(images)
    F.cross_entropy(expected, targets).backward()
    torch.testing.assert_close(logits, expected.detach(), rtol=1e-5, atol=1e-6)
    for a, b in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)
    for a, b in zip(norms(net), norms(plain), strict=True):
        assert a.num_batches_tracked.item() == 1
        torch.testing.assert_close(a.running_mean, b.running_mean)
        torch.testing.assert_close(a.running_var, b.running_var)


@pytest.mark.parametrize("spec", SPECS)
@torch.no_grad()
def test_in_train_mode_the_batch_is_normalised_and_in_eval_mode_parts_are_as_good(spec: str) -> None:
    net, (images, _) = small(spec).train(), batch(10)
    run = passes(3)
    plain = copy.deepcopy(net)
    for _ in range(20):  # until the running statistics are those of the batch
        trained = run.logits(net, images)
        torch.testing.assert_close(trained, plain(images), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(run.embed(net, images), plain.embed(images), rtol=1e-4, atol=1e-5)
    net.eval()
    before = copy.deepcopy(net.state_dict())
    parts, whole = run.logits(net, images), net(images)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
    assert float((parts - trained).norm()) > 1e-3 * float(trained.norm())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_batch_norm_is_that_of_its_equation() -> None:
    net, (images, _) = small("convnet-d1-w4-bn").double().train(), batch(5)
    images = images.double()
    with torch.no_grad():
        maps = net.blocks[0](images)
        found = net.blocks[1](maps)
    for channel in range(4):
        values = [float(v) for v in maps[:, channel].flatten()]
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        expected = (maps[:, channel] - mean) / (variance + 1e-5) ** 0.5
        torch.testing.assert_close(found[:, channel], expected, rtol=1e-10, atol=1e-10)
        unbiased = variance * len(values) / (len(values) - 1)
        assert net.blocks[1].running_mean[channel].item() == pytest.approx(0.1 * mean, rel=1e-9)
        assert net.blocks[1].running_var[channel].item() == pytest.approx(0.9 + 0.1 * unbiased, rel=1e-9)


def test_written_out_gradients_are_for_instance_norm_only() -> None:
    assert convnet_gradients.applies(small("convnet-w4"), 8)
    assert not convnet_gradients.applies(small("convnet-w4-bn"), 8)


@pytest.mark.integration
def test_compiled_training_passes_give_what_uncompiled_ones_give() -> None:
    net = small("convnet-w4-bn").train()
    plain = copy.deepcopy(net)
    run = passes(4, compiled=True)
    run.place(net)
    for count in (10, 6):  # a whole batch and the last one of an epoch
        images, targets = batch(count)
        temperature, scale = (1.0, 1.0) if count == 10 else (4.0, 16.0)
        for backward, which in ((run.backward, net), (passes(4).backward, plain)):
            which.zero_grad()
            backward(which, images, targets, temperature=temperature, scale=scale)
        for a, b in zip(net.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5)
    for a, b in zip(norms(net), norms(plain), strict=True):
        assert a.num_batches_tracked.item() == b.num_batches_tracked.item() == 2
        torch.testing.assert_close(a.running_var, b.running_var, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(
            run.logits(net.eval(), images), passes(4).logits(plain.eval(), images), rtol=1e-4, atol=1e-4
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [
        "mlp-w8",
        "lenet",
        "alexnet-bn",
        "vgg11-w4-bn",
        "vgg16-w4",
        "resnet34-w2-bn",
        "resnet50-w2-bn",
        "resnet101-w2",
        "mobilenet_v2",
        "shufflenet_v2_x0_5",
        "efficientnet_b0",
        "densenet121",
        "vit_small",
    ],
)
def test_every_family_compiles_in_both_modes(spec: str) -> None:
    net, (images, targets) = small(spec).train(), batch(4)
    plain = copy.deepcopy(net)
    run = passes(4, compiled=True)
    run.place(net)
    logits = run.backward(net, images, targets)
    assert all(parameter.grad is not None for parameter in net.parameters())
    if net.random:  # compiled code draws other numbers, and the same ones under the same state
        drawn = []
        for seed in (0, 0, 1):
            with forked_rng(seed, "test"):
                drawn.append(run.backward(net, images, targets))
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.equal(drawn[0], drawn[2])
    else:
        torch.testing.assert_close(logits, plain(images).detach(), rtol=1e-3, atol=1e-3)
    net.load_state_dict(plain.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(run.logits(net.eval(), images), plain.eval()(images), rtol=1e-3, atol=1e-3)
