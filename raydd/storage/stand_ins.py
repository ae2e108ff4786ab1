"""Networks in the place of trained ones: the right architecture with random weights, where time and memory count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from raydd.devices import Compute
from raydd.nets import Network, Passes
from raydd.storage.assets import AssetStore
from raydd.storage.teacher import Teacher

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.registry import AssetSpec

IMAGES = 64  # a batch from which batch norms take their statistics, so that no activation grows from layer to layer


class StandInStore(AssetStore):
    """An `AssetStore` that trains nothing and writes nothing.

    Args:
        data: of which classes and side of images are taken, and a batch for the statistics of batch norms.
        compute: where and how networks are returned.
        bank: folder of the target banks, or None.
    """

    def __init__(self, data: DataSplits, compute: Compute, bank: Path | None = None) -> None:
        super().__init__(Path(), data, compute, banked=bank is not None)
        self._bank = bank

    @property
    def bank(self) -> Path | None:
        """Folder of the target banks."""
        return self._bank

    def get(self, spec: AssetSpec, progress: Callable[[str], None] | None = None) -> list[Network]:
        """Networks of the asset's kind, frozen, in eval mode, on the store's device."""
        passes = Passes(self.compute, image_gradient=True, batch=1, size=self.data.size)
        return [
            passes.place(self._settled(spec, index)).requires_grad_(False).eval()
            for index in range(spec.count)
        ]

    def teacher(self, spec: AssetSpec, progress: Callable[[str], None] | None = None) -> Teacher:
        """A network of the asset's kind as data; its facts name no file."""
        facts = {
            "asset": f"{spec.kind}-{'0' * 16}",
            "sha256": "",
            "weights": "",
            "net": spec.net,
            "epochs": 0,
            "train_accuracy": 0.0,
            "pretrained": False,
        }
        return Teacher(spec.net, self._settled(spec, 0).state_dict(), facts)

    def find(self, spec: AssetSpec) -> Path | None:
        """None: nothing is stored."""
        return None

    def record(self, spec: AssetSpec) -> dict[str, Any]:
        """That nothing is known."""
        return {"key": "", "sha256": "", "train_accuracy": [0.0] * spec.count, "seconds": 0.0, "facts": {}}

    @torch.no_grad()
    def _settled(self, spec: AssetSpec, index: int) -> Network:
        net = self._build(spec, index)
        norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
        if norms:
            rows = torch.arange(min(IMAGES, len(self.data.train)))
            usual = [norm.momentum for norm in norms]
            for norm in norms:
                norm.momentum = 1.0
            net.train()(self.data.normalisation.apply(self.data.train.take(rows)))
            for norm, momentum in zip(norms, usual):
                norm.momentum = momentum
        return net.eval()
