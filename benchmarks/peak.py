"""The machine's peak: what its fastest convolution reaches, measured beside the rounds and under the same load."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.case import Case, Settings, Side, Work

if TYPE_CHECKING:
    import torch

BATCH, CHANNELS, SIDE, KERNEL = 256, 128, 16, 3
FLOPS = 2 * BATCH * SIDE * SIDE * CHANNELS * CHANNELS * KERNEL * KERNEL


class Peak(Work):
    """A 3x3 convolution 128 -> 128 of 256 maps of 16x16 in channels_last, with all threads and with one."""

    def __init__(self) -> None:
        import torch

        from benchmarks import ours

        ours.prepare()
        stream = torch.Generator().manual_seed(0)
        self.images = torch.randn(BATCH, CHANNELS, SIDE, SIDE, generator=stream)
        self.weight = torch.randn(CHANNELS, CHANNELS, KERNEL, KERNEL, generator=stream)
        self.threads = torch.get_num_threads()
        self.speeds: dict[str, float] = {}

    def run(self) -> None:
        """Measure all four."""
        import torch

        for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            images = self.images.to(dtype, memory_format=torch.channels_last)
            weight = self.weight.to(dtype, memory_format=torch.channels_last)
            for name, threads in ((precision, self.threads), (f"{precision}, 1 thread", 1)):
                torch.set_num_threads(threads)
                self.speeds[name] = FLOPS / _median_seconds(images, weight)
        torch.set_num_threads(self.threads)

    def values(self) -> dict[str, float]:
        """FLOP/s by precision."""
        return self.speeds


def _median_seconds(images: torch.Tensor, weight: torch.Tensor, repeats: int = 5) -> float:
    import torch

    seconds = []
    with torch.no_grad():
        for _ in range(repeats + 1):
            began = time.perf_counter()
            torch.nn.functional.conv2d(images, weight, padding=1)
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def _make(settings: Settings) -> Work:
    return Peak()


CASES = (
    Case(
        name="peak",
        module=__name__,
        title="convolution 128 -> 128, 3x3, batch 256 of 16x16, channels_last",
        unit="measurement",
        sides=(Side("peak", _make),),
        full={},
        quick={},
        warmups=1,
    ),
)
