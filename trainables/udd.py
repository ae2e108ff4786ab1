"""UDD as raydd searches it: its hyperparameters, its proxy network, its space and its distiller."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator

from raydd.registry import AssetSpec, Context, Distiller
from search_spaces import udd as spaces
from trainables.dm import DEFAULT_NET, check_net
from trainables.idc import IDCHyperparameters, IDCMethod

if TYPE_CHECKING:
    import torch

    from raydd.data import DataSplits
    from raydd.storage import AssetStore

Scale = Annotated[float, Field(gt=0.0, le=1.0)]


class UDDHyperparameters(IDCHyperparameters):
    """Every number of UDD and of IDC, on which it stands; docs/methods.md says which are our reading of the paper.

    Attributes:
        grid_size: n; windows stand at n x n places of a source.
        region_scale: a window's side as a share of the source's, in (0, 1]; several scales pool their windows.
        region_source: `sub_image` (the cells of multi-formation) or `image` (the stored image).
        regions: windows chosen in every source.
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
    region_scale: Scale | tuple[Scale, ...] = 0.5
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
        return check_net(value, DEFAULT_NET)


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
    spaces: ClassVar[ModuleType] = spaces
    model: ClassVar[type[IDCHyperparameters]] = UDDHyperparameters

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

    def views(self, values: IDCHyperparameters, ipc: int) -> int:
        """IDC's views and the regions."""
        assert isinstance(values, UDDHyperparameters)
        sources = values.factor**2 if values.region_source == "sub_image" else 1
        return super().views(values, ipc) + ipc * sources * values.regions

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
