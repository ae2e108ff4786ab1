"""`Teacher`: the network whose soft labels a distilled set is used with, and where its weights are found again."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from raydd import config as configuration
from raydd import nets
from raydd.errors import ConfigError
from raydd.files import absolute
from raydd.nets import Network
from raydd.storage.weights import MODEL, load_into, member, weights_digest

ASSET = re.compile(r"[a-z0-9_]+-[0-9a-f]{16}")
"""Names of the folders of assets; nothing else is looked for, so that no file leads out of `assets`."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained network as data: what it is, and its weights.

    Attributes:
        net: network specification.
        state: weights and buffers by name, on the CPU.
        facts: JSON-able: `asset` (its folder's name), `sha256` of the asset's file, `weights` (digest of the state,
            which is the same in every file), `net`, `epochs` that it was trained for here (0 with weights that came
            from elsewhere), `train_accuracy` in [0, 1], and `pretrained`: whether its weights came from elsewhere, so
            that it may have seen other images than train.
    """

    net: str
    state: dict[str, torch.Tensor]
    facts: dict[str, Any]

    def network(self, channels: int, size: int, classes: int) -> Network:
        """The network: on the CPU, frozen, in eval mode, and nobody else's.

        Args:
            channels, size, classes: of the images that it was trained on; size is the side in pixels.

        Raises:
            ArtifactError: the weights do not fit such images.
        """
        net = nets.build(self.net, channels=channels, size=size, classes=classes, generator=torch.Generator())
        load_into(net, self.state, f"the teacher {self.net}")
        return net.requires_grad_(False).eval()

    @functools.cached_property
    def weights(self) -> str:
        """Digest of the state as it is here, see `raydd.storage.weights.weights_digest`."""
        return weights_digest(self.state)

    @property
    def stored_bytes(self) -> int:
        """Size of the weights and buffers."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.state.values())


def find(facts: Mapping[str, Any], file: Path, home: str | Path | None = None) -> Teacher | None:
    """The teacher of a set: `assets/<asset>/model.safetensors` in any folder above the file, or in a home, or
    `<asset>/model.safetensors` in a folder that homes share: the one of the study that the file lies in, or
    `RAYDD_ASSETS`.

    Args:
        facts: see `Teacher`.
        file: the set's.
        home: a folder of studies that is looked in too; None is none.

    Returns:
        None where no such file is there, or only files with another sha256.
    """
    name = facts["asset"]
    if not ASSET.fullmatch(name):
        return None
    homes = [] if home is None else [Path(home)]
    above = list(file.absolute().parents)
    roots = [folder / "assets" for folder in [*above, *homes]]
    for root in [*roots, *_shared(above)]:
        path = root / name / MODEL
        if path.is_file():
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == facts["sha256"]:
                return Teacher(facts["net"], member(safetensors.torch.load(content), 0), dict(facts))
    return None


def _shared(folders: Iterable[Path]) -> list[Path]:
    """Folders of assets that several homes share: of the study in one of `folders`, and of this process."""
    named = [configuration.default_assets()]
    study = next((folder / "study.yaml" for folder in folders if (folder / "study.yaml").is_file()), None)
    if study is not None:
        with contextlib.suppress(ConfigError, AttributeError):  # somebody else's file of that name
            named.append(configuration.read_yaml(study).get("resources", {}).get("assets"))
    return [absolute(each) for each in named if isinstance(each, str)]
