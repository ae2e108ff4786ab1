"""Gradients by the convolutions, and their derivatives by the images, against plain float64 autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from raydd import nets
from raydd.devices import Compute
from raydd.errors import ConfigError
from raydd.nets import GradientPasses, Network, convnet_gradients
from raydd.nets.vit import ViT
from raydd.seeding import generator

CPU = torch.device("cpu")
CLASSES = 3
torch.set_num_threads(1)  # threads of tiny tensors only wait for each other

COMPILED_RESNET = pytest.param("resnet18-w2", marks=pytest.mark.slow)  # minutes of compiling
SPECS = ["convnet-w4", "convnet-d2-w3", "resnet18-w2"]


def small(
    spec: str = "convnet-w4",
    size: int = 8,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    channels: int = 3,
) -> Network:
    """A network whose norms scale and shift."""
    stream = generator(seed, "net")
    net = nets.build(spec, channels=channels, size=size, classes=CLASSES, generator=stream)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=stream))
    return net.to(dtype)


def batch(
    count: int, size: int = 8, seed: int = 0, dtype: torch.dtype = torch.float64, channels: int = 3
) -> tuple[Tensor, Tensor]:
    stream = generator(seed, "images")
    images = torch.randn(count, channels, size, size, generator=stream, dtype=torch.float64)
    return images.to(dtype), torch.arange(count) % CLASSES


def passes(part: int = 64, precision: str = "fp32", compiled: bool = False, size: int = 8) -> GradientPasses:
    made = GradientPasses(Compute(CPU, precision, compiled), batch_real=part, size=size)
    made.part = part
    return made


def convolutions(net: Network) -> list[Tensor]:
    return [module.weight for module in net.modules() if isinstance(module, torch.nn.Conv2d)]


def one_by_one(net: Network, images: Tensor, targets: Tensor) -> tuple[list[Tensor], Tensor]:
    """Mean over the images of each one's gradients and embedding."""
    sums = [torch.zeros_like(kernel) for kernel in convolutions(net)]
    embedding = torch.zeros(net.feature_size, dtype=images.dtype)
    for image, target in zip(images, targets):
        logits = net(image[None])[0]
        loss = torch.logsumexp(logits, 0) - logits[target]
        for total, gradient in zip(sums, torch.autograd.grad(loss, convolutions(net)), strict=True):
            total += gradient
        embedding += net.embed(image[None])[0].detach()
    return [total / len(images) for total in sums], embedding / len(images)


def plain(net: Network, images: Tensor, targets: Tensor) -> tuple[list[Tensor], Tensor]:
    """Differentiable gradients and mean embedding."""
    loss = F.cross_entropy(net(images), targets)
    return list(torch.autograd.grad(loss, convolutions(net), create_graph=True)), net.embed(images).mean(
        dim=0
    )


def cotangents(net: Network) -> tuple[list[Tensor], Tensor]:
    stream = generator(0, "cotangents")
    dtype = net.classifier.weight.dtype
    kernels = [
        torch.randn(kernel.shape, generator=stream, dtype=torch.float64) for kernel in convolutions(net)
    ]
    embedding = torch.randn(net.feature_size, generator=stream, dtype=torch.float64)
    return [kernel.to(dtype) for kernel in kernels], embedding.to(dtype)


def image_gradient(found: tuple[list[Tensor], Tensor], net: Network, images: Tensor) -> Tensor:
    """Derivative by the images of <gradients, fixed tensors> + <embedding, fixed tensor>."""
    kernels, embedding = cotangents(net)
    value = sum((a * b).sum() for a, b in zip(found[0], kernels, strict=True)) + (found[1] * embedding).sum()
    return torch.autograd.grad(value, images)[0]


def error(found: Tensor, exact: Tensor) -> float:
    return ((found - exact).norm() / exact.norm()).item()


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("part", [1, 3, 7, 64])
def test_real_gradients_are_the_mean_of_each_images_own_and_parts_change_nothing(
    spec: str, part: int
) -> None:
    net, (images, targets) = small(spec), batch(7)
    gradients, embedding = passes(part).real(net, images, targets)
    expected, mean = one_by_one(net, images, targets)
    torch.testing.assert_close(gradients, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(embedding, mean, rtol=1e-9, atol=1e-11)
    assert not any(result.requires_grad for result in (*gradients, embedding))


def test_biases_norms_and_the_classifier_are_left_out() -> None:
    net, (images, targets) = small("resnet18-w2"), batch(2)
    gradients, _ = passes().real(net, images, targets)
    assert [gradient.shape for gradient in gradients] == [p.shape for p in net.parameters() if p.ndim == 4]
    assert len(gradients) == 20


@pytest.mark.parametrize("spec", SPECS)
def test_synthetic_gradients_and_their_derivatives_are_those_of_plain_autograd(spec: str) -> None:
    net, (images, targets) = small(spec), batch(5)
    images.requires_grad_()
    found, expected = passes().synthetic(net, images, targets), plain(net, images, targets)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    derivatives = [image_gradient(results, net, images) for results in (found, expected)]
    torch.testing.assert_close(*derivatives, rtol=1e-9, atol=1e-11)


def test_the_derivative_by_the_images_is_that_of_finite_differences() -> None:
    net, (images, targets) = small("convnet-d1-w2", size=4), batch(2, size=4)
    kernels, _ = cotangents(net)

    def value(images: Tensor) -> Tensor:
        gradients, embedding = passes(size=4).synthetic(net, images, targets)
        return sum((a * b).sum() for a, b in zip(gradients, kernels)) + embedding.square().sum()

    assert torch.autograd.gradcheck(value, images.requires_grad_(), eps=1e-6, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("frozen", [False, True])
def test_the_network_stays_as_it_is(frozen: bool) -> None:
    net, (images, targets) = small().requires_grad_(not frozen), batch(4)
    before = [parameter.clone() for parameter in net.parameters()]
    passes().real(net, images, targets)
    image_gradient(passes().synthetic(net, images.requires_grad_(), targets), net, images)
    for parameter, old in zip(net.parameters(), before, strict=True):
        assert torch.equal(parameter, old)
        assert parameter.grad is None
        assert parameter.requires_grad is not frozen


def test_which_precision_computes_what() -> None:
    net, (images, targets) = small("convnet-w8", dtype=torch.float32), batch(10, dtype=torch.float32)
    exact = passes().real(net, images, targets)[0][0]
    for precision, real_low, synthetic_low in (
        ("fp32", False, False),
        ("mixed", True, False),
        ("bf16", True, True),
    ):
        real = passes(precision=precision).real(net, images, targets)[0][0]
        synthetic = passes(precision=precision).synthetic(net, images, targets)[0][0]
        for found, low in ((real, real_low), (synthetic, synthetic_low)):
            assert found.dtype == torch.float32
            assert (1e-3 < error(found, exact) < 0.2) if low else error(found, exact) < 1e-6


@pytest.mark.parametrize(
    ("spec", "size", "channels"),
    [
        ("convnet-w4", 8, 3),
        ("convnet-d1-w2", 8, 1),
        ("convnet-d3-w4", 8, 3),  # the last map has one position
        ("convnet-d2-w2", 28, 1),  # padded to 32
        ("convnet-w2", 32, 3),
    ],
)
def test_the_written_out_convnet_is_autograd_on_the_convnet(spec: str, size: int, channels: int) -> None:
    net = small(spec, size=size, channels=channels)
    images, targets = batch(4, size=size, channels=channels)
    images.requires_grad_()
    assert convnet_gradients.applies(net, size)
    expected = plain(net, images, targets)
    kernels, through_embedding = cotangents(net)

    weights, shares = convnet_gradients.weights(net), torch.full((4,), 0.25, dtype=torch.float64)
    with torch.no_grad():
        gradients, embedding, kept, probabilities = convnet_gradients.first_order(
            weights, False, images, targets, shares
        )
        found = convnet_gradients.second_order(
            weights, False, kept, probabilities, shares, kernels, through_embedding
        )
    torch.testing.assert_close((gradients, embedding), expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(found, image_gradient(expected, net, images), rtol=1e-9, atol=1e-11)


def test_the_written_out_convnet_counts_images_by_their_shares() -> None:
    net, (images, targets) = small(), batch(6)
    weights = convnet_gradients.weights(net)
    shares = torch.tensor([0.5, 0.5, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    found = convnet_gradients.gradients_and_embedding(weights, False, images, targets, shares)
    expected = one_by_one(net, images[:2], targets[:2])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_other_networks_and_odd_maps_are_not_written_out() -> None:
    assert not convnet_gradients.applies(small("resnet18-w2"), 8)
    assert not convnet_gradients.applies(small("convnet-d2-w2", size=10), 10)
    assert not convnet_gradients.applies(small("convnet-d2-w2", size=7), 7)


@pytest.mark.parametrize("size", [7, 10])
def test_odd_maps_are_computed_all_the_same(size: int) -> None:
    net, (images, targets) = small("convnet-d2-w2", size=size), batch(3, size=size)
    torch.testing.assert_close(
        passes(size=size).real(net, images, targets), one_by_one(net, images, targets), rtol=1e-9, atol=1e-11
    )


@pytest.mark.integration
@pytest.mark.parametrize(
    "spec", ["convnet-w8", pytest.param("convnet-d2-w4", marks=pytest.mark.slow), COMPILED_RESNET]
)
def test_compiled_gives_what_float64_gives_for_one_network_after_the_other(spec: str) -> None:
    from torch._dynamo.utils import counters

    size = 10 if spec == "convnet-d2-w4" else 8  # an odd map is not written out
    run = passes(4, compiled=True, size=size)
    images, targets = batch(10, size=size)
    graphs = []
    for seed in (0, 1):
        exact, net = (small(spec, size, seed, dtype) for dtype in (torch.float64, torch.float32))
        gradients, embedding = run.real(net, images.float(), targets)
        expected, mean = one_by_one(exact, images, targets)
        for found, other in zip([*gradients, embedding], [*expected, mean], strict=True):
            assert error(found, other) < 1e-3

        leaf, exact_leaf = images.float().requires_grad_(), images.clone().requires_grad_()
        synthetic = run.synthetic(net, leaf, targets)
        for found, other in zip([*synthetic[0], synthetic[1]], [*expected, mean], strict=True):
            assert error(found, other) < 1e-3
        derivative = image_gradient(synthetic, net, leaf)
        assert error(derivative, image_gradient(plain(exact, exact_leaf, targets), exact, exact_leaf)) < 1e-2
        assert all(parameter.grad is None for parameter in net.parameters())

        again = run.synthetic(net, leaf, targets)
        assert torch.equal(image_gradient(again, net, leaf), derivative)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] == graphs[1]


@pytest.mark.integration
def test_the_filling_of_the_last_part_changes_nothing_and_compiles_nothing_more() -> None:
    from torch._dynamo.utils import counters

    net, (images, targets) = small(dtype=torch.float32), batch(8, dtype=torch.float32)
    run = passes(4, compiled=True)
    run.real(net, images, targets)
    before = counters["stats"]["unique_graphs"]
    for count in (3, 5):
        found = run.real(net, images[:count], targets[:count])
        torch.testing.assert_close(
            found, passes().real(net, images[:count], targets[:count]), rtol=1e-4, atol=1e-5
        )
    assert counters["stats"]["unique_graphs"] == before


@pytest.mark.integration
@pytest.mark.parametrize("spec", ["convnet-w8", COMPILED_RESNET])
def test_compiled_real_gradients_in_bfloat16_are_near(spec: str) -> None:
    net, (images, targets) = small(spec, dtype=torch.float32), batch(10, dtype=torch.float32)
    exact, low, found = (
        passes(5, precision, compiled).real(net, images, targets)
        for precision, compiled in (("fp32", False), ("mixed", False), ("mixed", True))
    )
    for one, other, by_eager in zip(
        *(([*kernels, mean]) for kernels, mean in (found, exact, low)), strict=True
    ):
        assert one.dtype == torch.float32
        assert 1e-3 < error(one, other) < 2 * error(by_eager, other)


def small_vit() -> Network:
    net = ViT(3, 8, CLASSES, width=8, depth=2, heads=2)
    nets.initialise(net, generator(0, "net"))
    return net.double()


@pytest.mark.parametrize("make", [lambda: small("lenet"), lambda: small("vgg11-w2"), small_vit])
def test_other_architectures_can_be_matched_too(make: Callable[[], Network]) -> None:
    net, (images, targets) = make(), batch(2)
    images.requires_grad_()
    found, expected = passes().synthetic(net, images, targets), plain(net, images, targets)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    derivatives = [image_gradient(results, net, images) for results in (found, expected)]
    torch.testing.assert_close(*derivatives, rtol=1e-9, atol=1e-11)


def test_a_network_without_convolutions_is_refused() -> None:
    net, (images, targets) = small("mlp-w4"), batch(2)
    with pytest.raises(ConfigError, match="weights of convolutions, and MLP has none"):
        passes().real(net, images, targets)
