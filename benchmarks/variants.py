"""The ways in which our side of a case is measured."""

from __future__ import annotations

from dataclasses import dataclass


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
