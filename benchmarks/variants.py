"""The ways in which our side of a case is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from benchmarks.case import Settings, Side, Work


@dataclass(frozen=True)
class Variant:
    """One setting of precision and path.

    Attributes:
        name: as the table has it.
        precision: `fp32`, `mixed` or `bf16`, see `benchmarks.case.Side`.
        compiled: whether networks run through `torch.compile`.
        rtol: how far its losses may lie from the reference's, relative.
        quick: whether quick runs measure it.
    """

    name: str
    precision: str = "fp32"
    compiled: bool = False
    rtol: float = 1e-5
    quick: bool = True


VARIANTS = (
    Variant("fp32, eager"),
    # Compiling takes longer than a quick run may.
    Variant("fp32, compiled", compiled=True, quick=False),
    Variant("mixed, compiled", "mixed", compiled=True, rtol=1e-3, quick=False),
    Variant("bf16, compiled", "bf16", compiled=True, rtol=5e-3, quick=False),
)


def sides(
    make: Callable[[Variant, Settings], Work], rtol: Mapping[str, float], skips: frozenset[str] = frozenset()
) -> list[Side]:
    """Our side of a case in every variant whose precision `rtol` names.

    Args:
        make: of the variant and the settings, see `benchmarks.case.Side`.
        rtol: how far values may lie from the reference's, relative, by precision.
        skips: parts of the case's FLOPs that our side does not compute.
    """
    return [
        Side(
            variant.name,
            partial(make, variant),
            precision=variant.precision,
            skips=skips,
            rtol=rtol[variant.precision],
            quick=variant.quick,
        )
        for variant in VARIANTS
        if variant.precision in rtol
    ]
