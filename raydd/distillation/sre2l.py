"""SRe2L: squeeze the data into a network, recover images from it, relabel them with it (Yin et al., NeurIPS 2023)."""

from __future__ import annotations

from typing import ClassVar

from raydd.distillation.recovery import Recovery


class SRe2L(Recovery):
    """Recovery with the teacher as it was trained; the authors start from noise (recover/data_synthesis.py)."""

    method: ClassVar[str] = "sre2l"
