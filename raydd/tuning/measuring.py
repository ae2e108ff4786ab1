"""The process in which a trial is measured: `python -m raydd.tuning.measuring FOLDER`; see `raydd.tuning.measurement`.

Assets are stand-ins with random weights: they take the time and the memory of trained ones.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from raydd import config as configuration
from raydd import devices, failures, files, jobs
from raydd.data import load_data
from raydd.errors import RayddError, StudyError, TrialDiverged
from raydd.evaluation import evaluate, protocols
from raydd.storage import bank
from raydd.storage.stand_ins import StandInStore
from raydd.storage.trial import TrialFiles
from raydd.training import DataSource, Recipe, fit
from raydd.tuning.measurement import REQUEST, RESULT, Measured

if TYPE_CHECKING:
    from raydd.config import StudyConfig
    from raydd.jobs import Job
    from raydd.registry import AssetSpec, Distiller

WARM_UP = 3  # first steps, in which memory is found and kernels are compiled
LEAST = 3  # steps that are measured, however long they take
MOST = 300
STEP_SECONDS = 20.0  # of steps whose real side is computed
BLOCK_SECONDS = 40.0  # ... where it takes so long to fill a block of the target bank, which later trials read
BANKED_SECONDS = 8.0
EVALUATION_SECONDS = 8.0
COMPILE_SECONDS = 60.0  # an evaluation of an epoch that takes longer does so for more reasons than compiling
ASSET_BATCHES = 4
QUICK = 2.0  # seconds; what takes less is measured a second time, for longer

WEIGHTS = 4  # bytes of a parameter
CONTEXT = 2**30  # bytes of GPU memory that a process takes at the most before it computes anything


def main(folder: Path) -> None:
    """Measure what `request.json` in `folder` asks for, and write `result.json`."""
    request = files.read_json(folder / REQUEST)
    try:
        result = asdict(_measured(folder, request))
    except Exception as error:
        if failures.kind_of(error) == "error" and not isinstance(error, RayddError):
            raise
        result = {"why": failures.sentence(error)}
    files.write_json(folder / RESULT, result)


def _measured(folder: Path, request: Mapping[str, Any]) -> Measured:
    config = configuration.build(request["config"])
    load = os.getloadavg()[0]
    import trainables.base  # noqa: F401  (what every worker of Ray Tune has in memory)

    devices.prepare_process(config.resources.cpus_per_trial)
    begun = time.perf_counter()
    data = load_data(config.data)
    opened = time.perf_counter() - begun
    process = time.time() - request["begun"]
    real = jobs.open_job(config, data, home=Path(config.home))
    job = replace(real, assets=StandInStore(data, real.compute, folder / "bank"))
    on_gpu = job.device.type == "cuda"
    found = _Trial(config, job, request["values"], folder).measured()
    specs = job.method.assets(job.context)
    missing = [not spec.weights and real.assets.find(spec) is None for spec in specs]
    return Measured(
        device=job.device.type,
        device_name=torch.cuda.get_device_name(job.device) if on_gpu else "CPU",
        gpus=torch.cuda.device_count() if on_gpu else 0,
        load=load,
        process=process,
        open=opened,
        **found,
        gpu_total=torch.cuda.get_device_properties(job.device).total_memory if on_gpu else 0,
        assets=[_training_seconds(job, spec) if gone else 0.0 for spec, gone in zip(specs, missing)],
        asset_bytes=sum(_weights(job, spec) for spec, gone in zip(specs, missing) if gone),
    )


class _Trial:
    """A trial that is measured in pieces."""

    def __init__(self, config: StudyConfig, job: Job, values: Mapping[str, Any], folder: Path) -> None:
        self.config, self.job, self.values, self.folder = config, job, values, folder
        self.model = jobs.resolve(job.method, job.context, values)
        self.total = job.method.total_iterations(job.context, self.model.model_dump())
        self.warm_up = 0.0
        self.context = 0
        if job.device.type == "cuda":
            free, whole = torch.cuda.mem_get_info(job.device)
            self.context = min(whole - free, CONTEXT)  # another process may use the GPU too

    def measured(self) -> dict[str, Any]:
        """Everything about the trial itself."""
        first = self._distiller()
        seconds = self._steps(first, STEP_SECONDS, fill=BLOCK_SECONDS)
        warm = seconds[: min(WARM_UP, max(0, len(seconds) - LEAST))]
        steady = seconds[len(warm) :]
        step = typical(steady)
        self.warm_up += max(0.0, sum(warm) - len(warm) * step)
        saved = self._checkpoint(first)
        period, renewal = self._renewal(first, step)
        judged = self._evaluation(first)
        peaks = self._peaks(self._growth(first))  # before there is a second distiller
        del first
        begun = time.perf_counter()
        second = self._distiller()
        start = time.perf_counter() - begun
        blocks = [path for path in self._bank.rglob("*.safetensors") if path.parent.name != "chain"]
        banked = self._banked(second, len(blocks))
        if banked is None and (again := self._steps(second, 0.0, most=1)) and not renewal:
            period, renewal = self._rounds(), max(0.0, again[0] - step)
        self.warm_up = max(0.0, self.warm_up - renewal)  # the first step began something too
        return {
            "start": start,
            "warm_up": self.warm_up,
            "step": step,
            "steps": len(steady),
            "banked_step": banked,
            "renewal": renewal if period else 0.0,
            "period": period,
            **judged,
            **saved,
            **peaks,
            "block_bytes": sum(path.stat().st_size for path in blocks) // max(1, len(blocks)),
        }

    @property
    def _bank(self) -> Path:
        return self.folder / "bank"

    def _distiller(self) -> Distiller:
        return self.job.distiller(self.values, self.config.seed)

    def _steps(
        self, distiller: Distiller, limit: float, *, fill: float = 0.0, most: int = MOST
    ) -> list[float]:
        """Seconds of steps one by one: at least `WARM_UP + LEAST` if there are so many."""
        block = bank.BLOCK + 1
        seconds: list[float] = []
        while len(seconds) < most and distiller.progress < 1.0 - 1e-9:
            spent = sum(seconds)
            enough = len(seconds) >= WARM_UP + LEAST and spent > limit
            if enough and (len(seconds) >= block or spent > fill):
                break
            begun = time.perf_counter()
            try:
                distiller.step()
            except TrialDiverged as error:
                if not seconds:
                    raise StudyError(f"trial 0 diverges at once ({error})") from None
                break
            seconds.append(time.perf_counter() - begun)
        return seconds

    def _banked(self, distiller: Distiller, blocks: int) -> float | None:
        """Seconds of a step that reads its real side; None where there is no block to read."""
        if not blocks:
            return None
        seconds = self._steps(distiller, BANKED_SECONDS, most=blocks * bank.BLOCK)
        return typical(seconds[1:] or seconds)

    def _rounds(self) -> int:
        """Iterations of the images that are made at once, where they are made one after the other; else 0."""
        values = self.model.model_dump()
        if not self.job.method.finished_ids(self.job.context, values):
            return 0
        return int(values.get("recover_iterations") or self.job.context.iterations)

    def _renewal(self, distiller: Distiller, step: float) -> tuple[int, float]:
        """After how many iterations a chain of networks starts afresh, and the seconds that it takes."""
        values = self.model.model_dump()
        period = int(values.get("inner_loop") or 0) * int(values.get("research_every") or 1)
        if not 0 < period < self.total:
            return 0, 0.0
        distiller.iteration = period  # what starts afresh needs nothing of what came before
        seconds = self._steps(distiller, 0.0, most=1)
        return period, max(0.0, seconds[0] - step) if seconds else 0.0

    def _checkpoint(self, distiller: Distiller) -> dict[str, Any]:
        attempt = TrialFiles(self.folder / "trial").claim()
        state = distiller.state_dict()
        begun = time.perf_counter()
        attempt.checkpoint(distiller.iteration, distiller.state_dict(), {})
        seconds = time.perf_counter() - begun
        size = sum(value.nbytes for value in state.values() if hasattr(value, "nbytes"))
        return {"checkpoint": seconds, "checkpoint_bytes": size + self._growth(distiller)}

    def _growth(self, distiller: Distiller) -> int:
        """Bytes that the state still grows by: those of the networks that join a queue until the end."""
        queue = getattr(getattr(distiller, "real_side", None), "queue", None)
        values = self.model.model_dump()
        if not queue or not values.get("net_generate_interval"):
            return 0
        state = distiller.state_dict()
        held = sum(
            value.nbytes
            for name, value in state.items()
            if name.startswith("real/") and isinstance(value, torch.Tensor)
        )
        joined = int(values["net_start"]) + 1 + self.total // int(values["net_generate_interval"])
        return max(0, min(int(values["net_num"]), joined) - len(queue)) * (held // len(queue))

    def _peaks(self, growth: int) -> dict[str, int]:
        """Peaks of resident and of GPU memory, and what the end of a trial has beyond them."""
        on_gpu = self.job.device.type == "cuda"
        gpu = torch.cuda.max_memory_reserved(self.job.device) + self.context + growth if on_gpu else 0
        return {"memory": _peak_memory() + (0 if on_gpu else growth), "gpu_memory": gpu}

    def _evaluation(self, distiller: Distiller) -> dict[str, Any]:
        """Seconds of an evaluation as a trial makes it, divided into what its epochs take and the rest."""
        settings = self.config.evaluation
        protocol = protocols.get(settings.protocol or self.job.method.protocol_for(self.job.context))
        last = settings.epochs or protocol.epochs

        def passes(epochs: int) -> int:
            return protocol.recipe("", epochs).epochs

        first = self._judge(distiller, 1)
        size = sum(path.stat().st_size for path in (self.folder / "set").rglob("*") if path.is_file())
        if first > (
            COMPILE_SECONDS if self.job.compute.compiled else EVALUATION_SECONDS
        ):  # no time for a second look
            return {"evaluation": 0.0, "epoch": first / passes(1), "set_bytes": size}
        short = min(self._judge(distiller, 1) for _ in range(2))
        self.warm_up += max(0.0, first - short)
        epochs, long = 1, short
        while epochs < last and long < QUICK:
            guess = (EVALUATION_SECONDS / 2) / (max(long, 1e-3) / passes(epochs))
            epochs = min(last, max(epochs + 1, int(guess)))
            long = self._judge(distiller, epochs)
        if passes(epochs) == passes(1):
            return {"evaluation": 0.0, "epoch": short / passes(1), "set_bytes": size}
        epoch = max(0.0, long - short) / (passes(epochs) - passes(1))
        return {"evaluation": max(0.0, short - epoch * passes(1)), "epoch": epoch, "set_bytes": size}

    def _judge(self, distiller: Distiller, epochs: int) -> float:
        """Seconds of an evaluation by `epochs`, with all that a trial does beside it."""
        settings, job = self.config.evaluation, self.job
        begun = time.perf_counter()
        plain = jobs.unlabelled(distiller).with_recipe(
            protocol=settings.protocol, net=settings.net, epochs=epochs
        )
        distilled = job.labelled(plain, self.model)
        evaluate(
            distilled,
            job.data,
            net=settings.net,
            protocol=settings.protocol,
            epochs=epochs,
            repeats=settings.repeats,
            seed=self.config.seed,
            split="val",
            device=str(job.device),
            precision=job.compute.precision,
            compiled=job.compute.compiled,
        )
        folder = self.folder / "set"
        distilled.save(folder / "distilled.safetensors", preview=folder / "grid.png", teacher=False)
        for name, content in distiller.pictures().items():
            files.write_bytes(folder / "pictures" / f"{name}.png", content)
        distiller.measures()
        return time.perf_counter() - begun


def typical(seconds: Sequence[float]) -> float:
    """A step's usual time: the median, of means over a block of steps where there are several blocks.

    The last step of a block writes it to the target bank, which a median of single steps would not see.
    """
    whole = len(seconds) // bank.BLOCK
    if whole < 3:
        return statistics.median(seconds)
    blocks = [seconds[number * bank.BLOCK : (number + 1) * bank.BLOCK] for number in range(whole)]
    return statistics.median(statistics.fmean(block) for block in blocks)


def _training_seconds(job: Job, spec: AssetSpec) -> float:
    """Seconds to train an asset, from a few of its batches."""
    recipe = replace(Recipe(**spec.recipe), epochs=1, warmup=0)
    (net,) = job.assets.get(replace(spec, count=1))
    images = len(job.data.train)

    def timed(batches: int) -> tuple[float, int]:
        rows = torch.arange(min(images, batches * recipe.batch))
        source = DataSource(job.data.train.subset(rows), job.data.normalisation, job.device)
        begun = time.perf_counter()
        fit(net.requires_grad_(True), source, recipe, job.compute, seed=0, purpose="dry-run")
        if job.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun, len(rows)

    seconds, seen = timed(1)
    if seconds < QUICK:
        seconds, seen = timed(ASSET_BATCHES)
    return seconds / seen * images * Recipe(**spec.recipe).epochs * spec.count


def _weights(job: Job, spec: AssetSpec) -> int:
    (net,) = job.assets.get(replace(spec, count=1))
    return spec.count * WEIGHTS * sum(value.numel() for value in net.state_dict().values())


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]))
