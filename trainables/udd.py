"""UDD as raydd searches it: its hyperparameters, its proxy network, its space and its distiller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from raydd.errors import SpaceError
from raydd.registry import AssetSpec, Context, Distiller
from search_spaces import udd as spaces
from trainables.dm import DEFAULT_NET, check_net, convolutional, forward
from trainables.idc import IDCHyperparameters, IDCMethod

if TYPE_CHECKING:
    import torch

    from raydd.data import DataSplits
    from raydd.storage import AssetStore

Scale = Annotated[float, Field(gt=0.0, le=1.0)]
Scales = Annotated[tuple[Scale, ...], Field(min_length=1)]


class UDDHyperparameters(IDCHyperparameters):
    """Every number of UDD and of IDC, on which it stands; docs/methods.md says which are our reading of the paper.

    Attributes:
        grid_size: n; windows stand at n x n places of a source.
        region_scale: a window's side as a share of the source's, in (0, 1]; several scales pool their windows.
        region_source: `sub_image` (the cells of multi-formation) or `image` (the stored image).
        regions: windows chosen in every source, at most as many as there are.
        policy: how they are chosen: `response`, `jitter`, `auto`, or the controls `random` and `most_used`.
        scheme: of the response policy, `feature` or `crop`.
        response_form: the map, `activation` or `evidence`.
        jitter_std: noise of the jittering policy in units of [0, 1] pixels, > 0.
        jitter_draws: its draws.
        research_every: networks after which regions are chosen anew.
        lambda_cfc: weight of the contrastive term, >= 0; 1 is the paper's plain sum.
        cfc_tau: its temperature, > 0.
        proxy_net: architecture of the network that judges regions.
        proxy_epochs: epochs it is trained for on real images; small data need more.
    """

    grid_size: Annotated[int, Field(ge=1, le=16)] = 3
    region_scale: Scale | Scales = 0.5
    region_source: Literal["sub_image", "image"] = "sub_image"
    regions: Annotated[int, Field(ge=1)] = 1
    policy: Literal["response", "jitter", "auto", "random", "most_used"] = "response"
    scheme: Literal["feature", "crop"] = "feature"
    response_form: Literal["activation", "evidence"] = "activation"
    jitter_std: Annotated[float, Field(gt=0.0)] = 0.1
    jitter_draws: Annotated[int, Field(ge=1)] = 4
    research_every: Annotated[int, Field(ge=1)] = 1
    lambda_cfc: Annotated[float, Field(ge=0.0)] = 1.0
    cfc_tau: Annotated[float, Field(gt=0.0)] = 0.1
    proxy_net: str = DEFAULT_NET
    proxy_epochs: Annotated[int, Field(ge=1)] = 30

    @field_validator("proxy_net")
    @classmethod
    def _proxy_net_known(cls, value: str) -> str:
        return check_net(value, DEFAULT_NET, "proxy_net")

    @property
    def sources(self) -> int:
        """Sources of an image, in each of which regions are chosen."""
        return self.factor**2 if self.region_source == "sub_image" else 1

    def views(self, ipc: int) -> int:
        """IDC's views and the regions."""
        return super().views(ipc) + ipc * self.sources * self.regions

    def source_side(self, size: int) -> int:
        """Side of a source in pixels, of stored images of `size` px."""
        return spaces.source_side(size, self.factor, self.region_source)

    def windows(self, size: int) -> int:
        """Candidate windows of a source, of stored images of `size` px."""
        return spaces.window_count(self.source_side(size), self.grid_size, self.region_scale)

    def judged(self, size: int) -> int:
        """Inputs of the proxy network for one choice of an image's regions; `auto` counts as `response`."""
        if self.policy == "random":
            return 0
        if self.policy == "jitter":
            return self.sources * (1 + self.jitter_draws * self.windows(size))
        return self.sources * (self.windows(size) if self.scheme == "crop" else 1)


def proxy(values: UDDHyperparameters, context: Context) -> AssetSpec:
    """The proxy network; the baselines' features are the same asset where architecture and epochs agree."""
    recipe = {
        "epochs": values.proxy_epochs,
        "batch": 256,
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "augmentation": context.augmentation,
    }
    return AssetSpec("features", values.proxy_net, recipe)


class UDDMethod(IDCMethod):
    """Underutilized regions and feature-level contrast between classes, on IDC."""

    name = "udd"
    title = "UDD: underutilized regions and category-wise contrast on IDC"
    reference = "Wang, Zhang, Cheng: UDD: Dataset Distillation via Mining Underutilized Regions, PRCV 2024, 2408.16268"
    base = "idc"
    spaces = spaces
    model: type[IDCHyperparameters] = UDDHyperparameters

    def notes(self, context: Context) -> list[str]:
        """That nothing is published that trial 0 could carry."""
        return [
            "UDD has no published setting: trial 0 is IDC's, with our defaults for the regions and lambda_cfc 1."
        ]

    def assets(self, context: Context) -> list[AssetSpec]:
        """The proxy network."""
        values = self.defaults(context)
        assert isinstance(values, UDDHyperparameters)
        return [proxy(values, context)]

    def check(self, context: Context, values: Mapping[str, Any]) -> None:
        """Refuse what IDC refuses, more regions than a source has windows, and a proxy that has no map to score."""
        super().check(context, values)
        chosen = UDDHyperparameters.model_validate(dict(values))
        mapped = chosen.policy in ("response", "most_used") and chosen.scheme == "feature"
        if mapped and not convolutional(chosen.proxy_net):
            raise SpaceError(
                f"proxy_net: {chosen.proxy_net!r} has no convolutions, and policy {chosen.policy} with scheme feature "
                "compares positions of the last map; take another network, policy jitter, or scheme crop"
            )
        if chosen.response_form == "evidence" and chosen.proxy_net != DEFAULT_NET:
            from raydd.distillation.responses import check_evidence

            check_evidence(chosen.proxy_net, context.channels, context.size)
        windows, side = chosen.windows(context.size), chosen.source_side(context.size)
        if chosen.regions > windows:
            source = "images" if side == context.size else "sub-images"
            raise SpaceError(
                f"regions: {chosen.regions} are more than the {windows} window{'s' * (windows != 1)} that grid_size "
                f"{chosen.grid_size} and region_scale {chosen.region_scale} give in {source} of {side} px"
            )

    def gigaflops(self, context: Context, values: Mapping[str, Any]) -> float:
        """IDC's, and the proxy network's forward passes for the choice of regions, shared by the steps it is for."""
        chosen = UDDHyperparameters.model_validate(dict(values))
        images = context.classes * context.ipc * chosen.judged(context.size)
        steps = chosen.inner_loop * chosen.research_every
        return super().gigaflops(context, values) + images / steps * forward(chosen.proxy_net, context)

    def distiller(
        self,
        hyperparameters: BaseModel,
        context: Context,
        data: DataSplits,
        assets: AssetStore,
        seed: int,
        device: torch.device,
    ) -> Distiller:
        """A distiller at iteration 0, its first regions chosen."""
        from raydd.distillation import UDD as Distillation

        assert isinstance(hyperparameters, UDDHyperparameters)
        (network,) = assets.get(proxy(hyperparameters, context))
        return Distillation(hyperparameters, context, data, network, seed, device, assets.bank)


UDD = UDDMethod()
