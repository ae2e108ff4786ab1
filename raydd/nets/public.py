"""torchvision's weights for ImageNet-1K, under our names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from raydd import vision
from raydd.errors import ArtifactError, ConfigError
from raydd.nets.builder import build, validate
from raydd.nets.layers import IMAGENET_STEM
from raydd.nets.library import LIBRARY

CLASSES = 1000
VERSION = "IMAGENET1K_V1"
"""The weights that SRe2L, CDA and DWA squeeze with: 69.76 % for ResNet-18."""

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")


def public_weights(spec: str, *, channels: int, size: int, classes: int) -> dict[str, Tensor]:
    """State of a network of `spec` with torchvision's weights; downloaded once, into torch's cache.

    Args:
        spec: such as `resnet18-bn`: a network of torchvision, with batch norm and at its own width.
        channels, size, classes: see `build`; torchvision's networks see 3 channels, and 128 px or more, and tell the
            1000 classes of ImageNet-1K apart.

    Raises:
        ConfigError: torchvision has no weights for that.
        ArtifactError: they can be neither found nor downloaded, or do not fit.
    """
    name = public_name(spec)
    if classes != CLASSES:
        raise ConfigError(
            f"weights: public weights of {spec} tell the {CLASSES} classes of ImageNet apart, got {classes} classes"
        )
    if channels != 3 or size < IMAGENET_STEM:
        raise ConfigError(
            f"weights: public weights of {spec} are for images of 3 channels and at least {IMAGENET_STEM} px, "
            f"got {channels} channels and {size} px"
        )
    models = vision.models()
    try:
        # torchvision fills the network with random numbers first.
        with torch.random.fork_rng(devices=[]):
            found = models.get_model(name, weights=VERSION).state_dict()
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        raise ArtifactError(
            f"the public weights of {spec} could not be loaded ({error}); download them where there is a "
            f"network, and put the file into {torch.hub.get_dir()}/checkpoints"
        ) from error
    state = renamed(name, found)
    net = build(spec, channels=channels, size=size, classes=classes, generator=torch.Generator())
    other = sorted(set(net.state_dict()) ^ set(state))
    if other:
        raise ArtifactError(
            f"this version of torchvision has other weights of {spec} than our network: {other}"
        )
    return state


def renamed(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state of torchvision's network `name` under the names that our network has.

    Args:
        name: of one of `RESNETS` or `LIBRARY`.
        state: of the network as torchvision makes it.
    """
    rename = _resnet_name(state) if name in RESNETS else _library_name
    return {rename(key): value for key, value in state.items()}


def public_name(spec: str) -> str:
    """Family of a specification that public weights fit, such as `resnet18` of `resnet18-bn`.

    Raises:
        ConfigError: there are none for it, and which have them.
    """
    validate(spec)
    name, *options = spec.split("-")
    if (name in RESNETS and options == ["bn"]) or (name in LIBRARY and not options):
        return name
    allowed = ", ".join([f"{resnet}-bn" for resnet in RESNETS] + sorted(LIBRARY))
    raise ConfigError(f"weights: there are no public weights of {spec!r} (allowed: {allowed})")


def _resnet_name(state: Mapping[str, Tensor]) -> Callable[[str], str]:
    blocks = list(dict.fromkeys(match[0] for key in state if (match := re.match(r"layer\d+\.\d+\.", key))))
    places = {block: f"stages.{index}." for index, block in enumerate(blocks)}
    outside = {"conv1": "stem", "bn1": "norm", "fc": "classifier"}

    def rename(key: str) -> str:
        match = re.match(r"layer\d+\.\d+\.", key)
        if match is None:
            module, rest = key.split(".", 1)
            return f"{outside[module]}.{rest}"
        inside = key[match.end() :].replace("downsample.", "shortcut.")
        return places[match[0]] + re.sub(r"^bn", "norm", inside)

    return rename


def _library_name(key: str) -> str:
    if key.startswith(("fc.", "classifier.")):
        return "classifier." + key.rpartition(".")[2]
    return key if key.startswith("features.") else f"features.{key}"
