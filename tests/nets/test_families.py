"""What every architecture gives, whatever the size of its images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from raydd import nets
from raydd.nets import Network
from raydd.seeding import forked_rng, generator

torch.set_num_threads(1)  # threads of tiny tensors only wait for each other

SIDES = {"convnet": (2, 4, 4, 4), "mlp": (1, 1, 1, 1), "lenet": (5, 5, 5, 13), "alexnet": (4, 4, 4, 8)}
SIDES |= {"vgg": (1, 1, 1, 2), "halved three times": (4, 4, 4, 8), "vit_small": (8, 8, 8, 16)}
"""Of the last map, of images of 8, 28, 32 and 64 px."""

CASES = {
    "convnet-w4": ("convnet", 4),
    "convnet-w4-bn": ("convnet", 4),
    "mlp-w8": ("mlp", 8),
    "lenet": ("lenet", 16),
    "alexnet": ("alexnet", 192),
    "alexnet-bn": ("alexnet", 192),
    "vgg11-w4": ("vgg", 32),
    "vgg16-w4-bn": ("vgg", 32),
    "resnet10-w4-ap": ("halved three times", 32),
    "resnet18-w4": ("halved three times", 32),
    "resnet18-w4-bn": ("halved three times", 32),
    "resnet34-w4": ("halved three times", 32),
    "resnet50-w4-bn": ("halved three times", 128),
    "resnet50-w2-bn-ap": ("halved three times", 64),
    "resnet101-w2": ("halved three times", 64),
    "mobilenet_v2": ("halved three times", 1280),
    "shufflenet_v2_x0_5": ("halved three times", 1024),
    "shufflenet_v2_x1_0": ("halved three times", 1024),
    "efficientnet_b0": ("halved three times", 1280),
    "densenet121": ("halved three times", 1024),
    "vit_small": ("vit_small", 384),
}
"""Specification -> its row of `SIDES`, and channels of the last map."""

BATCH_NORM = [spec for spec in CASES if not nets.per_image(spec)]
PER_IMAGE = [spec for spec in CASES if nets.per_image(spec)]
RANDOM = ["mobilenet_v2", "efficientnet_b0"]


def build(spec: str, channels: int = 3, size: int = 32, classes: int = 3, seed: int = 0) -> Network:
    stream = generator(seed, "test")
    return nets.build(spec, channels=channels, size=size, classes=classes, generator=stream)


def images(count: int, channels: int = 3, size: int = 32, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, size, size, generator=generator(seed, "images"))


def test_every_family_is_among_the_cases() -> None:
    assert {spec.split("-")[0] for spec in CASES} == set(nets.names())


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 32), (3, 64)])
@pytest.mark.parametrize("spec", CASES)
def test_features_embeddings_and_logits_of_every_family_and_size(spec: str, channels: int, size: int) -> None:
    net, x = build(spec, channels, size).eval(), images(2, channels, size)
    row, kinds = CASES[spec]
    side = SIDES[row][(8, 28, 32, 64).index(size)]
    with torch.no_grad():
        local, unpooled, embedding, logits = (
            net.local_features(x),
            net.unpooled_features(x),
            net.embed(x),
            net(x),
        )
    assert local.shape == (2, kinds, side * side)
    assert unpooled.shape[:2] == (2, kinds)
    assert embedding.shape == (2, net.feature_size)
    assert logits.shape == (2, 3)
    assert isinstance(net.classifier, nn.Linear)
    with torch.no_grad():
        torch.testing.assert_close(net.pooled(local), embedding, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(net.classifier(embedding), logits, rtol=1e-5, atol=1e-6)
    assert bool((unpooled >= 0).all()) == (spec not in ("efficientnet_b0", "vit_small"))
    assert float(unpooled.min()) > (-0.28 if spec == "efficientnet_b0" else -10.0)
    if net.per_image:  # otherwise nothing is normalised before the running statistics are known
        assert float((embedding[0] - embedding[1]).norm()) > 1e-3 * float(embedding[0].norm())


@pytest.mark.parametrize(
    ("spec", "size", "classes", "count"),
    [
        # torchvision's own, at the stem for ImageNet
        ("resnet18-bn", 224, 1000, 11_689_512),
        ("resnet34-bn", 224, 1000, 21_797_672),
        ("resnet50-bn", 224, 1000, 25_557_032),
        ("resnet101-bn", 224, 1000, 44_549_160),
        ("mobilenet_v2", 224, 1000, 3_504_872),
        ("shufflenet_v2_x0_5", 224, 1000, 1_366_792),
        ("shufflenet_v2_x1_0", 224, 1000, 2_278_604),
        ("efficientnet_b0", 224, 1000, 5_288_548),
        ("densenet121", 224, 1000, 7_978_856),
        # IDC's for ImageNet-10
        ("resnet10-ap", 224, 10, 4_910_922),
        # the field's for CIFAR-10
        ("convnet-bn", 32, 10, 320_010),
        ("resnet10-bn-w32", 32, 10, 1_228_970),
        ("resnet18-bn", 32, 10, 11_173_962),
        ("resnet50-bn", 32, 10, 23_520_842),
        ("vgg11-bn", 32, 10, 9_231_114),
        ("vgg16", 32, 10, 14_728_266),
        ("alexnet", 32, 10, 1_872_202),
        ("lenet", 32, 10, 62_006),
        ("mlp", 32, 10, 411_146),
        ("vit_small", 32, 10, 21_341_578),
    ],
)
def test_parameters_are_as_many_as_those_of_the_published_networks(
    spec: str, size: int, classes: int, count: int
) -> None:
    net = build(spec, 3, size, classes)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


@pytest.mark.parametrize("spec", CASES)
def test_equal_generators_give_equal_bits_and_leave_the_global_random_state_alone(spec: str) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = build(spec)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    other, different = build(spec), build(spec, seed=1)
    for (name, a), (_, b) in zip(one.state_dict().items(), other.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    for a, b in zip(one.parameters(), different.parameters(), strict=True):
        assert a.ndim == 1 or not torch.equal(a, b)  # norms start alike


@pytest.mark.parametrize("spec", CASES)
def test_what_a_specification_says_of_a_network_is_true_of_it(spec: str) -> None:
    net = build(spec)
    assert net.per_image == nets.per_image(spec)
    assert net.random == (spec in RANDOM)
    assert nets.Ensemble.supports(net) == nets.per_image(spec)


@pytest.mark.parametrize("spec", PER_IMAGE)
def test_images_of_a_per_image_network_do_not_mix_and_both_modes_agree(spec: str) -> None:
    net, x = build(spec).train(), images(4)
    with torch.no_grad():
        whole = net(x)
        singles = torch.cat([net(image[None]) for image in x])
        torch.testing.assert_close(singles, whole, rtol=1e-3, atol=1e-4)
        assert torch.equal(net.eval()(x), whole)


@pytest.mark.parametrize("spec", BATCH_NORM)
def test_images_of_a_network_with_batch_norm_mix_in_train_mode_only(spec: str) -> None:
    net, x, others = build(spec).train(), images(4), 3.0 * images(3, seed=1)
    assert {module.momentum for module in net.modules() if isinstance(module, nn.BatchNorm2d)} == {0.1}
    mixed = torch.cat([x[:1], others])
    with torch.no_grad():
        features = []
        for batch in (x, mixed):
            with forked_rng(0, "test"):  # the same draws for both
                features.append(net.embed(batch)[0])
        assert float((features[0] - features[1]).norm()) > 1e-2 * float(features[0].norm())
        tracked = [m.num_batches_tracked.item() for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
        assert set(tracked) == {2}
        net.eval()
        torch.testing.assert_close(net(x)[:1], net(mixed)[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", RANDOM)
def test_random_networks_draw_from_the_global_state_in_train_mode(spec: str) -> None:
    net, x = build(spec).train(), images(2)
    with torch.no_grad():
        drawn = []
        for seed in (0, 0, 1):
            with forked_rng(seed, "test"):
                drawn.append(net(x))
        assert torch.equal(drawn[0], drawn[1])
        assert not torch.allclose(drawn[0], drawn[2])


@pytest.mark.parametrize("spec", CASES)
def test_gradient_reaches_the_pixels_and_every_parameter(spec: str) -> None:
    net, x = build(spec).train(), images(3).requires_grad_()
    with forked_rng(0, "test"):
        net(x).square().sum().backward()
    assert x.grad is not None
    assert float((x.grad != 0).float().mean()) > 0.9
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.parametrize(
    "spec", ["resnet18-w4", "mobilenet_v2", "shufflenet_v2_x0_5", "densenet121", "vgg11-w4", "lenet"]
)
def test_small_images_are_enlarged_to_32_px_inside_the_network(spec: str) -> None:
    small, large = build(spec, 1, 8).eval(), build(spec, 1, 32).eval()
    x = images(2, 1, 8)
    wide = torch.nn.functional.interpolate(x, size=(32, 32), mode="bilinear", align_corners=False)
    with torch.no_grad():
        assert torch.equal(small(x), large(wide))


@pytest.mark.parametrize(
    "spec",
    [
        "resnet10-w4-ap",
        "resnet18-w4",
        "resnet50-w4-bn",
        "mobilenet_v2",
        "shufflenet_v2_x0_5",
        "efficientnet_b0",
        "densenet121",
    ],
)
def test_from_128_px_on_the_stem_is_the_one_for_imagenet(spec: str) -> None:
    sides = []
    for size in (127, 128):
        net = build(spec, 1, size).eval().to("meta")
        sides.append(net.unpooled_features(torch.empty(1, 1, size, size, device="meta")).shape[2])
    assert sides[0] in (15, 16)  # halved three times, up or down
    assert sides[1] == 4


def test_the_patches_of_vit_are_4_px_up_to_64_px_and_16_px_above() -> None:
    for size, patch in ((32, 4), (64, 4), (65, 16), (224, 16)):
        assert build("vit_small", 1, size).patches.kernel_size == (patch, patch)


def test_attention_equals_float64_loops() -> None:
    from raydd.nets.vit import Attention

    layer = Attention(6, 2)
    nets.initialise(layer, generator(0, "attention"))
    layer.double()
    x = torch.randn(2, 3, 6, generator=generator(0, "x"), dtype=torch.float64)
    weights = {name: value.detach() for name, value in layer.named_parameters()}
    for image in range(2):
        rows = x[image] @ weights["inputs.weight"].T + weights["inputs.bias"]  # queries, keys, values
        read = torch.zeros(3, 6, dtype=torch.float64)
        for head in range(2):
            q, k, v = (rows[:, 6 * part + 3 * head : 6 * part + 3 * head + 3] for part in range(3))
            for i in range(3):
                powers = [torch.exp(q[i] @ k[j] / 3**0.5) for j in range(3)]
                read[i, 3 * head : 3 * head + 3] = sum(p * v[j] for j, p in enumerate(powers)) / sum(powers)
        expected = read @ weights["output.weight"].T + weights["output.bias"]
        torch.testing.assert_close(layer(x)[image].detach(), expected, rtol=1e-10, atol=1e-12)


def test_gigaflops_of_the_published_networks() -> None:
    # Twice the multiply-adds that torchvision states, and those of its three heads and stems.
    for spec, published in (
        ("resnet18-bn", 1.814),
        ("resnet50-bn", 4.089),
        ("mobilenet_v2", 0.301),
        ("shufflenet_v2_x1_0", 0.145),
        ("efficientnet_b0", 0.386),
        ("densenet121", 2.834),
    ):
        counted = nets.gigaflops(spec, channels=3, size=224, classes=1000)
        assert counted == pytest.approx(2 * published, rel=0.02), spec
    small = nets.gigaflops("vit_small", channels=3, size=32, classes=10)
    # 64 positions: 12 blocks of 12 w^2 a position and 2 * 64 w for the attention, the patches, the classifier
    assert small == pytest.approx(
        2e-9 * (64 * (12 * (12 * 384**2 + 2 * 64 * 384) + 48 * 384) + 3840), rel=1e-6
    )
