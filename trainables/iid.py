"""IID on DM or IDM as raydd searches it: its hyperparameters, its pool of extractors, its space and its distiller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from raydd.registry import AssetSpec, Context, Distiller
from search_spaces import cells
from search_spaces import iid as spaces
from trainables.dm import DM, DMHyperparameters, DMMethod, check_factor, check_net, forward
from trainables.idm import IDM, QUEUE, IDMHyperparameters

if TYPE_CHECKING:
    import torch

    from raydd.data import DataSplits
    from raydd.storage import AssetStore

DEFAULT_POOL_NET = "resnet18"
D_PERCENT = 95.0


class IIDHyperparameters(IDMHyperparameters):
    """Every number of IID and of its base; the defaults are the authors' on DM, but for the pool (they trained
    1000 x 40 epochs). What belongs to IDM alone has no effect on DM.

    Attributes:
        base: the method that IID is added to, `dm` or `idm`.
        factor: see IDM; 1 on DM.
        lambda_cc: weight of class centralisation, >= 0; it grows linearly with IPC.
        lambda_cm: weight of covariance matching, >= 0.
        cc_form: `sum` (the authors' code) or `hinge_exp` (the paper).
        alpha: scale of the exponent of `hinge_exp`, > 0.
        beta: threshold of `hinge_exp`, >= 0; has no effect below 1.
        pool_size: networks in the pool.
        pool_epochs: epochs that each is trained for on real images.
        pool_net: their architecture.
    """

    base: Literal["dm", "idm"] = "dm"
    lr_img: Annotated[float, Field(gt=0.0)] = 1.0
    init: Literal["real", "noise", "mix"] = "real"
    factor: Annotated[int, Field(ge=1, le=cells.MOST)] = 1
    update: Literal["per_class", "joint"] = "joint"
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
        return check_net(value, DEFAULT_POOL_NET, "pool_net")

    @model_validator(mode="after")
    def _fits_the_base(self) -> IIDHyperparameters:
        if self.base == "dm" and (self.factor != 1 or self.update != "joint" or self.init == "mix"):
            raise ValueError(
                f"base dm takes factor 1, update joint and init real or noise, got factor {self.factor}, update "
                f"{self.update} and init {self.init}; base idm takes all of them"
            )
        return self


ON_IDM = {"init": "mix", "factor": 2, "update": "per_class"}
"""IDM's own defaults where IID's, which are those on DM, differ."""


def pool(values: IIDHyperparameters) -> AssetSpec:
    """The pool of extractors, trained as the authors' pre_model.py does: SGD, no augmentation."""
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
    """Inter- and intra-class distribution matching, on DM or IDM."""

    name = "iid"
    title = "IID: class centralisation and covariance matching on DM or IDM"
    reference = (
        "Deng et al.: Exploiting Inter-sample and Inter-feature Relations in Dataset Distillation, CVPR 2024"
    )
    base = "dm"
    real_side = frozenset({"base", "net", "batch_real", "augmentation"}) | QUEUE

    spaces = spaces
    model: type[DMHyperparameters] = IIDHyperparameters

    def base_of(self, context: Context) -> str:
        """`dm`, or `idm` where `base` is fixed at it."""
        return spaces.base_of(context)

    def defaults(self, context: Context) -> IIDHyperparameters:
        """Published setting that trial 0 uses, then `context.fixed`."""
        values, _ = self.spaces.published_for(context)
        own = ON_IDM if self.base_of(context) == "idm" else {}
        return IIDHyperparameters.model_validate({**own, **values, **context.fixed})

    def notes(self, context: Context) -> list[str]:
        """Which terms have no effect with this IPC, and how little is published."""
        lines = []
        if not spaces.acts(context):
            lines.append(
                "At IPC 1 without sub-images both terms of IID have no gradient: IID equals "
                f"{self.base_of(context).upper()}, and they are not searched."
            )
        elif (context.dataset, context.ipc) != ("cifar10", 10):
            carried = "its terms" if self.base_of(context) == "idm" else "it"
            lines.append(
                f"IID has one published setting, CIFAR-10 at IPC 10; trial 0 carries {carried} over."
            )
        return lines

    def assets(self, context: Context) -> list[AssetSpec]:
        """The pool, unless class centralisation has no effect in any trial."""
        if not spaces.acts(context) or context.fixed.get("lambda_cc") == 0:
            return []
        return [pool(self.defaults(context))]

    def measure(
        self, context: Context, data: DataSplits, assets: AssetStore, seed: int, device: torch.device
    ) -> dict[str, float]:
        """`d95`: the 95th percentile of d over the initial images under the pool, the scale of beta's range.

        Nothing where no trial draws `beta`.
        """
        if not spaces.beta_is_searched(context):
            return {}
        from raydd.distillation import deviation_percentile

        values = self.defaults(context).model_copy(update={"lambda_cc": 0.0})
        start = self.distiller(values, context, data, assets, seed, device).distilled()
        images = start.images().unflatten(0, (data.classes, -1)).to(device)
        return {"d95": deviation_percentile(assets.get(pool(values)), images, D_PERCENT, assets.compute)}

    def check(self, context: Context, values: Mapping[str, Any]) -> None:
        """Refuse a factor that leaves parts without pixels."""
        check_factor(values["factor"], context.size)

    def gigaflops(self, context: Context, values: Mapping[str, Any]) -> float:
        """The base's, and the synthetic images through one extractor and back where class centralisation acts."""
        chosen = IIDHyperparameters.model_validate(dict(values))
        base = IDM if chosen.base == "idm" else DM
        own = base.hyperparameters.model_fields
        work = base.gigaflops(context, {name: value for name, value in values.items() if name in own})
        images = context.ipc * chosen.factor**2
        if chosen.lambda_cc > 0 and images > 1:
            work += 2 * context.classes * images * forward(chosen.pool_net, context)
        return work

    def training_images(self, context: Context, values: Mapping[str, Any]) -> int:
        """The base's; `factor` is 1 on DM."""
        return context.classes * context.ipc * int(values["factor"]) ** 2

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
        from raydd.distillation import IID as OnDM
        from raydd.distillation import IIDOnIDM

        assert isinstance(hyperparameters, IIDHyperparameters)
        acts = hyperparameters.lambda_cc > 0 and context.ipc * hyperparameters.factor > 1
        extractors = assets.get(pool(hyperparameters)) if acts else []
        distillation = IIDOnIDM if hyperparameters.base == "idm" else OnDM
        return distillation(hyperparameters, context, data, extractors, seed, device, assets.bank)


IID = IIDMethod()
