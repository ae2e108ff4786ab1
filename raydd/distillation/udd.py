"""UDD: regions that a proxy network makes little of are trained on again, on IDC (Wang et al., arXiv 2408.16268).

The authors released no code; docs/methods.md says what is the paper's and what is our reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from raydd import measures
from raydd.distillation.idc import IDC
from raydd.distillation.losses import category_contrastive_rows
from raydd.distillation.real_side import Targets
from raydd.distillation.regions import RegionSelector
from raydd.formation import decode, initial_labels, views
from raydd.seeding import generator
from raydd.storage.preview import png, regions_picture

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.nets import Network
    from raydd.registry import Context, Scalar
    from trainables.udd import UDDHyperparameters


class UDD(IDC):
    """IDC whose views are joined by underutilized regions, with a contrastive term between classes.

    L_c = D(grad CE(A(T_c)), grad CE(A(decode(S_c) and its regions))) + lambda_cfc * (row c of L_CFC), L_CFC
    being the mean over classes of -log softmax_c(z_c . p / tau), z_c the normalised mean embedding of the
    synthetic class and p those of the real classes. Regions are chosen anew every `research_every` networks.

    Args:
        hyperparameters: every number of the method.
        context, data, seed, device, bank: see `IDC`.
        proxy: network trained on real data that says which regions are used little.
    """

    method: ClassVar[str] = "udd"
    hyperparameters: UDDHyperparameters

    def __init__(
        self,
        hyperparameters: UDDHyperparameters,
        context: Context,
        data: DataSplits,
        proxy: Network,
        seed: int,
        device: torch.device,
        bank: Path | None = None,
    ) -> None:
        super().__init__(hyperparameters, context, data, seed, device, bank)
        self.selector = RegionSelector(
            proxy,
            self.compute,
            data.normalisation,
            data.size,
            hyperparameters.factor,
            data.classes * context.ipc,
            grid_size=hyperparameters.grid_size,
            region_scale=hyperparameters.region_scale,
            region_source=hyperparameters.region_source,
            regions=hyperparameters.regions,
            policy=hyperparameters.policy,
            scheme=hyperparameters.scheme,
            response_form=hyperparameters.response_form,
            jitter_std=hyperparameters.jitter_std,
            jitter_draws=hyperparameters.jitter_draws,
        )
        self.classes = torch.arange(data.classes, device=device)
        self.regions = self._chosen(0)
        self.regions_before = self.regions
        self._mapped: tuple[int, Tensor] | None = None

    @property
    def views(self) -> int:
        """Images of a class after decoding, its regions included."""
        return views(self.spec, self.context.ipc, self.selector.regions_an_image)

    def renew(self) -> None:
        """Clamp as IDC does, and choose the regions anew if it is time; the first ones stand already."""
        super().renew()
        network = self.iteration // self.hyperparameters.inner_loop
        if network and network % self.hyperparameters.research_every == 0:
            self.regions_before, self.regions = self.regions, self._chosen(network)

    def step(self) -> dict[str, float]:
        """See `Matching.step`."""
        self._mapped = None
        return super().step()

    def decode_class(self, pixels: Tensor, class_: int) -> Tensor:
        """Views (V, C, H, W) of one class: its sub-images, then its regions."""
        boxes = self.regions[class_].unsqueeze(0)
        return decode(pixels.unsqueeze(0), self.spec, boxes, pad=self.pad).squeeze(0)

    def terms(self, pixels: Tensor, targets: Targets, class_: int) -> dict[str, Tensor]:
        """`gradient`, `cfc` (row of the class, divided by the number of classes) unless it is off, and `total`."""
        distance, embedding = self.matched(pixels, targets, class_)
        terms, total = {"gradient": distance}, distance
        if self.hyperparameters.lambda_cfc:
            row = category_contrastive_rows(
                embedding.unsqueeze(0),
                self.classes[class_ : class_ + 1],
                targets.means,
                self.hyperparameters.cfc_tau,
            )
            terms["cfc"] = row.sum() / self.data.classes
            total = total + self.hyperparameters.lambda_cfc * terms["cfc"]
        return {**terms, "total": total}

    def measures(self) -> dict[str, float]:
        """`mue` of the images as they stand, `region_switch_rate` of the last choice, `border_share` of its boxes."""
        return {
            "mue": measures.mue(self._maps()),
            "region_switch_rate": measures.region_switch_rate(
                self.regions_before.flatten(0, 1), self.regions.flatten(0, 1)
            ),
            "border_share": measures.border_share(self.regions, self.data.size),
        }

    def pictures(self) -> dict[str, bytes]:
        """`regions`: every image beside its activation map, with the chosen boxes."""
        picture = regions_picture(
            self._stored_pixels().flatten(0, 1), self._maps(), self._boxes(), self._labels()
        )
        return {"regions": png(picture)}

    def boxes(self) -> Tensor:
        """Boxes (N, R, 3) of the regions that the set is used with."""
        return self._boxes().clone()

    def state_dict(self) -> dict[str, Tensor | Scalar]:
        """IDC's, and the boxes: they were chosen on images that are gone."""
        return {
            **super().state_dict(),
            "regions": self.regions.clone(),
            "regions_before": self.regions_before.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict`, bit for bit on the CPU."""
        super().load_state_dict(state)
        self._mapped = None
        self.regions = state["regions"].clone()
        self.regions_before = state["regions_before"].clone()

    def _chosen(self, network: int) -> Tensor:
        """Boxes (classes, ipc, R, 3) for the images as they stand."""
        stream = generator(self.seed, "regions", network)
        boxes = self.selector.choose(self._stored_pixels().flatten(0, 1), self._labels(), stream)
        return boxes.unflatten(0, (self.data.classes, self.context.ipc))

    def _maps(self) -> Tensor:
        """Activation maps of the images as they stand, made once for all that an evaluation reads them for."""
        if self._mapped is None or self._mapped[0] != self.iteration:
            maps = self.selector.maps(self._stored_pixels().flatten(0, 1), self._labels())
            self._mapped = (self.iteration, maps)
        return self._mapped[1]

    def _boxes(self) -> Tensor:
        return self.regions.flatten(0, 1)

    def _labels(self) -> Tensor:
        return initial_labels(self.data.classes, self.context.ipc)
