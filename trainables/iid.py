"""IID on DM as raydd searches it: its hyperparameters, its pool of extractors, its space and its distiller."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator

from raydd.registry import AssetSpec, Context, Distiller
from search_spaces import iid as spaces
from trainables.dm import DMHyperparameters, DMMethod, check_net, forward

if TYPE_CHECKING:
    import torch

    from raydd.data import DataSplits
    from raydd.storage import AssetStore

DEFAULT_POOL_NET = "resnet18"
D_PERCENT = 95.0


class IIDHyperparameters(DMHyperparameters):
    """Every number of IID on DM; the defaults are the authors', but for the pool (they trained 1000 x 40 epochs).

    Attributes:
        base: the method that IID is added to.
        lambda_cc: weight of class centralisation, >= 0; it grows linearly with IPC.
        lambda_cm: weight of covariance matching, >= 0.
        cc_form: `sum` (the authors' code) or `hinge_exp` (the paper).
        alpha: scale of the exponent of `hinge_exp`, > 0.
        beta: threshold of `hinge_exp`, >= 0; has no effect below 1.
        pool_size: networks in the pool.
        pool_epochs: epochs that each is trained for on real images.
        pool_net: their architecture.
    """

    base: Literal["dm"] = "dm"
    lambda_cc: Annotated[float, Field(ge=0.0)] = 0.05
    lambda_cm: Annotated[float, Field(ge=0.0)] = 0.01
    cc_form: Literal["sum", "hinge_exp"] = "sum"
    alpha: Annotated[float, Field(gt=0.0)] = spaces.ALPHA
    beta: Annotated[float, Field(ge=0.0)] = 0.0
    pool_size: Annotated[int, Field(ge=1)] = 2
    pool_epochs: Annotated[int, Field(ge=1)] = 2
    pool_net: str = DEFAULT_POOL_NET

    @field_validator("pool_net")
    @classmethod
    def _pool_net_known(cls, value: str) -> str:
        return check_net(value, DEFAULT_POOL_NET)


def pool(values: DMHyperparameters) -> AssetSpec:
    """The pool of extractors, trained as the authors' pre_model.py does: SGD, no augmentation."""
    assert isinstance(values, IIDHyperparameters)
    recipe = {
        "epochs": values.pool_epochs,
        "batch": 256,
        "lr": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "augmentation": "",
    }
    return AssetSpec("pool", values.pool_net, recipe, count=values.pool_size)


class IIDMethod(DMMethod):
    """Inter- and intra-class distribution matching, on DM."""

    name = "iid"
    title = "IID: class centralisation and covariance matching on DM"
    reference = (
        "Deng et al.: Exploiting Inter-sample and Inter-feature Relations in Dataset Distillation, CVPR 2024"
    )
    base = "dm"
    real_side = frozenset({"base", "net", "batch_real", "augmentation"})

    spaces: ClassVar[ModuleType] = spaces
    model: ClassVar[type[DMHyperparameters]] = IIDHyperparameters

    def notes(self, context: Context) -> list[str]:
        """Which terms have no effect with this IPC."""
        if context.ipc > 1:
            return []
        return [
            "At IPC 1 on DM both terms of IID have no gradient: IID equals DM, and lr_img alone is searched."
        ]

    def assets(self, context: Context) -> list[AssetSpec]:
        """The pool, unless class centralisation has no effect in any trial."""
        if context.ipc == 1 or context.fixed.get("lambda_cc") == 0:
            return []
        return [pool(self.defaults(context))]

    def measure(
        self, context: Context, data: DataSplits, assets: AssetStore, seed: int, device: torch.device
    ) -> dict[str, float]:
        """`d95`: the 95th percentile of d over the initial images under the pool, the scale of beta's range."""
        if not self.assets(context):
            return {}
        from raydd.distillation import deviation_percentile
        from raydd.formation import initial_images

        values = self.defaults(context)
        images = initial_images(data.train, context.ipc, data.normalisation, seed, values.init)
        images = images.unflatten(0, (data.classes, context.ipc)).to(device)
        return {"d95": deviation_percentile(assets.get(pool(values)), images, D_PERCENT, assets.compute)}

    def gigaflops(self, context: Context, values: Mapping[str, Any]) -> float:
        """DM's, and the synthetic images through one extractor and back where class centralisation acts."""
        chosen = self.model.model_validate(dict(values))
        assert isinstance(chosen, IIDHyperparameters)
        acts = chosen.lambda_cc > 0 and context.ipc > 1
        extractor = 2 * context.classes * context.ipc * forward(chosen.pool_net, context) if acts else 0.0
        return super().gigaflops(context, values) + extractor

    def distiller(
        self,
        hyperparameters: BaseModel,
        context: Context,
        data: DataSplits,
        assets: AssetStore,
        seed: int,
        device: torch.device,
    ) -> Distiller:
        """A distiller at iteration 0; loads the pool only where class centralisation acts."""
        from raydd.distillation import IID as Distillation

        assert isinstance(hyperparameters, IIDHyperparameters)
        acts = hyperparameters.lambda_cc > 0 and context.ipc > 1
        extractors = assets.get(pool(hyperparameters)) if acts else []
        return Distillation(hyperparameters, context, data, extractors, seed, device, assets.bank)


IID = IIDMethod()
