"""torchvision's weights under our names; the files are made here, with random numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from raydd import nets, vision
from raydd.errors import ArtifactError, ConfigError
from raydd.nets.public import renamed
from raydd.seeding import forked_rng, generator

FILES = {"resnet18": "resnet18-f37072fd.pth", "shufflenet_v2_x0_5": "shufflenetv2_x0.5-f707e7126e.pth"}


def theirs(name: str, classes: int = 1000) -> nn.Module:
    """torchvision's network, random, with running statistics that are not those of a new one."""
    with forked_rng(0, "theirs"):
        net = getattr(vision.models(), name)(weights=None, num_classes=classes)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0.0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                nn.init.uniform_(module.weight, 0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet34",
        "resnet50",
        "mobilenet_v2",
        "shufflenet_v2_x0_5",
        "efficientnet_b0",
        "densenet121",
    ],
)
def test_renamed_weights_make_our_network_compute_what_torchvisions_does(name: str) -> None:
    net = theirs(name, classes=7)
    spec = f"{name}-bn" if name.startswith("resnet") else name
    ours = nets.build(spec, channels=3, size=128, classes=7, generator=generator(0, "ours")).eval()
    ours.load_state_dict(renamed(name, net.state_dict()))
    x = torch.randn(1, 3, 128, 128, generator=generator(0, "x"))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), net(x), rtol=1e-5, atol=1e-5)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in net.parameters())


def test_resnet101_has_the_names_and_shapes_of_torchvisions() -> None:
    with torch.device("meta"):
        state = vision.models().resnet101(weights=None).state_dict()
    ours = nets.build("resnet101-bn", channels=3, size=224, classes=1000, generator=generator(0, "ours"))
    shapes = {name: value.shape for name, value in ours.state_dict().items()}
    assert {name: value.shape for name, value in renamed("resnet101", state).items()} == shapes


@pytest.mark.parametrize("name", FILES)
def test_public_weights_are_read_from_torchs_cache(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    net = theirs(name)
    torch.save(net.state_dict(), tmp_path / "hub" / "checkpoints" / FILES[name])
    spec = f"{name}-bn" if name.startswith("resnet") else name
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    whole = nets.public_weights(spec, channels=3, size=128, classes=1000)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(whole["classifier.weight"], net.fc.weight)
    assert set(whole) == set(renamed(name, net.state_dict()))
    ours = nets.build(spec, channels=3, size=224, classes=1000, generator=generator(0, "ours"))
    ours.load_state_dict(whole)
    norms = [module for module in ours.modules() if isinstance(module, nn.BatchNorm2d)]
    assert torch.equal(
        norms[0].running_var, next(v for k, v in net.state_dict().items() if k.endswith("var"))
    )


def test_other_classes_than_those_of_imagenet_are_refused_before_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        ConfigError,
        match=r"weights: .* of resnet18-bn tell the 1000 classes of ImageNet apart, got 10 classes$",
    ):
        nets.public_weights("resnet18-bn", channels=3, size=224, classes=10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spec", "channels", "size", "message"),
    [
        ("resnet18", 3, 224, r"no public weights of 'resnet18' \(allowed: resnet18-bn, .*densenet121"),
        ("resnet18-bn-w16", 3, 224, "no public weights of 'resnet18-bn-w16'"),
        ("convnet-bn", 3, 224, "no public weights of 'convnet-bn'"),
        ("resnet18-bn", 3, 64, "at least 128 px, got 3 channels and 64 px"),
        ("resnet18-bn", 1, 224, "3 channels .* got 1 channels and 224 px"),
        ("resnt18-bn", 3, 224, "unknown net"),
    ],
)
def test_what_has_no_public_weights_is_refused(spec: str, channels: int, size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        nets.public_weights(spec, channels=channels, size=size, classes=1000)


def test_a_failed_download_is_said_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    with pytest.raises(ArtifactError, match=r"weights of resnet18-bn could not be loaded .*hub/checkpoints"):
        nets.public_weights("resnet18-bn", channels=3, size=224, classes=1000)
