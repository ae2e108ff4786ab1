"""DWA as raydd searches it: its hyperparameters, and where its space, settings and distiller are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from raydd.registry import Context
from search_spaces import dwa as spaces
from trainables.dm import forward
from trainables.sre2l import SRe2LHyperparameters, SRe2LMethod

if TYPE_CHECKING:
    from raydd.distillation import Recovery

TRAINING = 3  # forward passes that a step of ascent is worth


class DWAHyperparameters(SRe2LHyperparameters):
    """Every number of DWA and of SRe2L, on which it stands; the defaults are the authors' for CIFAR.

    Attributes:
        rho: how far the weights are moved at the most, in [0, 1]; 0 leaves them. Searched from 1e-3 to 5e-2.
        k: steps of it, >= 1.
        ids_at_once: 1, because every id has a teacher of its own.
    """

    rho: Annotated[float, Field(ge=0.0, le=1.0)] = 0.015
    k: Annotated[int, Field(ge=1)] = 12
    lambda_var: Annotated[float, Field(ge=0.0)] = 0.11
    coupled: bool = False
    init: Literal["noise", "real"] = "real"
    ids_at_once: Literal[1] = 1

    @field_validator("ids_at_once", mode="before")
    @classmethod
    def _one_id_at_a_time(cls, value: Any) -> Any:
        if value != 1:
            raise ValueError(
                "several ids would need as many teachers, because dwa adjusts the weights for every id; allowed is 1"
            )
        return value


class DWAMethod(SRe2LMethod):
    """Directed weight adjustment on SRe2L."""

    name = "dwa"
    short = "DWA"
    title = "DWA: directed weight adjustment on SRe2L"
    reference = (
        "Du et al.: Diversity-Driven Synthesis by Directed Weight Adjustment, NeurIPS 2024, 2409.17612"
    )
    base = "sre2l"
    spaces = spaces
    model: type[SRe2LHyperparameters] = DWAHyperparameters
    imagenet_protocol: ClassVar[str] = "dwa-imagenet"

    def gigaflops(self, context: Context, values: Mapping[str, Any]) -> float:
        """SRe2L's, and the ascent, shared by the iterations that follow it."""
        chosen = DWAHyperparameters.model_validate(dict(values))
        steps = chosen.k / chosen.length(context) if chosen.rho > 0 else 0.0
        ascent = TRAINING * steps * self.images_a_step(context, chosen) * forward(chosen.teacher, context)
        return super().gigaflops(context, values) + ascent

    def recovery(self) -> type[Recovery]:
        """What recovers the images; torch stays unloaded until it is asked for."""
        from raydd.distillation import DWA as Distillation

        return Distillation


DWA = DWAMethod()
