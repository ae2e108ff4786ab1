"""The one `tune.Trainable`: it runs a trial of any method, reports at its milestones and leaves checkpoints.

A trial is its folder: `hyperparameters.json` says what to run, `history.jsonl` holds every report,
`checkpoints/` what is needed to go on, `distilled.safetensors` the set at the last evaluation. The
configuration that Ray carries is the folder of the study and the trial's number, nothing else, and Ray's
own checkpoints are not used: a trial that is started again goes on from its folder, whoever starts it.
"""

from __future__ import annotations

import math
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ray import tune
from safetensors.torch import load_file, save_file

from raydd import devices, files, jobs
from raydd.cadence import MEASURE, Cadence, thousandths
from raydd.config import StudyConfig
from raydd.errors import TrialDiverged
from raydd.evaluation import evaluate
from raydd.jobs import Job

KEPT_CHECKPOINTS = 2

# One study per worker process: a reused actor finds its data, assets and compiled kernels again.
_workbench: dict[str, tuple[StudyConfig, Job]] = {}


def workbench(folder: Path) -> tuple[StudyConfig, Job]:
    """Configuration and job of the study in `folder`, opened once per process."""
    key = str(folder)
    if key not in _workbench:
        # Read here rather than through raydd.tuning, which stands on the same floor.
        from raydd import config as configuration

        config = configuration.build(configuration.read_yaml(folder / "study.yaml"))
        devices.prepare_process(config.resources.cpus_per_trial)
        share = config.resources.gpus_per_trial
        if 0 < share < 1:
            torch.cuda.set_per_process_memory_fraction(share)
        measured = files.read_json(folder / "measured.json")
        data = jobs.load_of_study(config.data, folder)
        job = jobs.open_job(config, data, asset_root=folder.parents[1] / "assets", measured=measured)
        _workbench.clear()
        _workbench[key] = (config, job)
    return _workbench[key]


class DistillTrainable(tune.Trainable):
    """A trial: `step` runs to the next milestone and reports; see `raydd.cadence`."""

    def setup(self, config: Mapping[str, Any]) -> None:
        """Open the trial `config["number"]` of the study in folder `config["study"]`."""
        study = Path(config["study"])
        self.number = int(config["number"])
        self.folder = study / "trials" / str(self.number)
        self.study_config, self.job = workbench(study)
        drawn = files.read_json(self.folder / "hyperparameters.json")
        self.job.check_assets(study)
        self.distiller = self.job.distiller(drawn["values"], int(drawn["seed"]))
        search = self.study_config.search
        method, context = self.job.method, self.job.context
        self.hyperparameters = jobs.resolve(method, context, drawn["values"])
        self.cadence = Cadence.of(
            method.total_iterations(context, self.hyperparameters.model_dump()),
            scheduler=search.scheduler,
            reduction_factor=search.reduction_factor,
            progress_floor=self.job.method.progress_floor,
        )
        self.accuracy, self.accuracy_std = math.nan, math.nan
        self.started = time.perf_counter()
        self.replay: dict[str, Any] | None = None
        self.fresh = True
        rows = files.read_jsonl(self.folder / "history.jsonl")
        self.attempt = 1 + max((int(row["attempt"]) for row in rows), default=0)
        self._continue_from_checkpoint()

    def reset_config(self, new_config: Mapping[str, Any]) -> bool:
        """Let a reused actor take up the next trial."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run to the next milestone: a report, a rung, or the end."""
        if self.replay is not None:
            # The driver may have died before it saw the last report; telling it twice is harmless.
            row, self.replay = self.replay, None
            return row
        try:
            row = self._advance()
        except TrialDiverged as error:
            row = self._row({}, evaluated=False, rung=-1, rate=math.nan)
            row.update(outcome="diverged", why=str(error), done=True)
            files.append_jsonl(self.folder / "history.jsonl", row)
            return row
        files.append_jsonl(self.folder / "history.jsonl", row)
        self._checkpoint(row)
        return row

    def _advance(self) -> dict[str, Any]:
        if self.fresh:
            self.fresh = False
            return self._evaluated({}, rung=0, rate=math.nan)
        sums: dict[str, float] = {}
        first, begun, images = self.distiller.iteration, time.perf_counter(), 0
        whole = self.job.context.classes * self.job.context.ipc
        while True:
            before = self.distiller.progress
            images += getattr(self.distiller, "images_per_step", whole)
            for name, value in self.distiller.step().items():
                sums[name] = sums.get(name, 0.0) + value
            after = self.distiller.progress
            done, rung = after >= 1.0 - 1e-9, self.cadence.rung_crossed(before, after)
            if done or rung is not None or self.distiller.iteration % self.cadence.report_every == 0:
                break
        count = self.distiller.iteration - first
        losses = {name: value / count for name, value in sums.items()}
        rate = images / max(time.perf_counter() - begun, 1e-9)
        if done or rung is not None:
            return self._evaluated(losses, rung=1000 if done else rung or 0, rate=rate)
        return self._row(losses, evaluated=False, rung=-1, rate=rate)

    def _evaluated(self, losses: Mapping[str, float], *, rung: int, rate: float) -> dict[str, Any]:
        settings = self.study_config.evaluation
        plain = jobs.unlabelled(self.distiller).with_recipe(
            protocol=settings.protocol, net=settings.net, epochs=settings.epochs
        )
        # Labelled once, for this recipe: stored labels are those of its batches and of its number of epochs.
        distilled = self.job.labelled(plain, self.hyperparameters)
        result = evaluate(
            distilled,
            self.job.data,
            net=settings.net,
            protocol=settings.protocol,
            epochs=settings.epochs,
            repeats=settings.repeats,
            seed=self.study_config.seed,
            split="val",
            device=str(self.job.device),
            precision=self.job.compute.precision,
            compiled=self.job.compute.compiled,
        )
        self.accuracy, self.accuracy_std = result.mean, result.std
        # The teacher stays in the study's assets, where `load` finds it.
        distilled.save(self.folder / "distilled.safetensors", preview=self.folder / "grid.png", teacher=False)
        for name, content in self.distiller.pictures().items():
            files.write_bytes(self.folder / "pictures" / f"{name}.png", content)
        row = self._row(losses, evaluated=True, rung=rung, rate=rate)
        row.update({f"{MEASURE}{name}": value for name, value in self.distiller.measures().items()})
        if rung == 1000:
            row.update(outcome="complete", done=True)
        return row

    def _row(self, losses: Mapping[str, float], *, evaluated: bool, rung: int, rate: float) -> dict[str, Any]:
        return {
            "number": self.number,
            "iteration": self.distiller.iteration,
            "progress": self.distiller.progress,
            "progress_thousandths": thousandths(self.distiller.progress),
            "evaluated": int(evaluated),
            "rung": rung,
            "val_accuracy": self.accuracy,
            "val_accuracy_std": self.accuracy_std,
            "seconds": time.perf_counter() - self.started,
            "images_per_second": rate,
            "memory_mb": peak_memory_mb(self.job.device),
            "attempt": self.attempt,
            "outcome": "",
            "why": "",
            "done": False,
            **{f"loss/{name}": value for name, value in losses.items()},
        }

    def _checkpoint(self, row: Mapping[str, Any]) -> None:
        folder = self.folder / "checkpoints" / str(self.distiller.iteration)
        state = self.distiller.state_dict()
        tensors = {key: value.contiguous() for key, value in state.items() if isinstance(value, torch.Tensor)}
        scalars = {key: value for key, value in state.items() if key not in tensors}
        shutil.rmtree(folder, ignore_errors=True)
        with files.atomic_folder(folder) as temporary:
            save_file(tensors, temporary / "state.safetensors")
            files.write_json(temporary / "state.json", {"scalars": scalars, "report": row})
        for old in self._checkpoints()[KEPT_CHECKPOINTS:]:
            shutil.rmtree(old, ignore_errors=True)

    def _checkpoints(self) -> list[Path]:
        """Checkpoint folders, newest first."""
        found = [path for path in (self.folder / "checkpoints").glob("*") if path.name.isdigit()]
        return sorted(found, key=lambda path: -int(path.name))

    def _continue_from_checkpoint(self) -> None:
        for folder in self._checkpoints():
            try:
                tensors = load_file(folder / "state.safetensors")
                saved = files.read_json(folder / "state.json")
            except Exception:  # a damaged checkpoint must cost its iterations, not the trial
                continue
            self.distiller.load_state_dict({**tensors, **saved["scalars"]})
            self.replay = saved["report"]
            self.accuracy = float(saved["report"]["val_accuracy"])
            self.accuracy_std = float(saved["report"]["val_accuracy_std"])
            self.fresh = False
            return


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of this process in MB: allocated GPU memory on CUDA, resident memory otherwise."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
