"""`TrialRun`: one attempt of one trial, from report to report, with checkpoints on the way.

A trial is its folder: `hyperparameters.json` says what to run, and the attempts before this one have left their
checkpoints there (`raydd.storage.TrialFiles`). Whoever runs it, it gives the same images, bit for bit on a CPU,
as often as it may be cut off on the way.
"""

from __future__ import annotations

import datetime
import math
import os
import resource
import socket
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from raydd import devices, failures, files, jobs, stopping
from raydd.cadence import MEASURE, Cadence, thousandths
from raydd.config import StudyConfig
from raydd.errors import TrialDiverged
from raydd.evaluation import evaluate
from raydd.jobs import Job
from raydd.storage.stop_sign import REPORT, StopSign
from raydd.storage.trial import TrialFiles

SINCE = ("sums", "steps", "images", "worked", "before")
"""What is added up from report to report, and the progress before the last iteration."""

CHECKPOINT_SECONDS = 5.0  # reports may follow each other faster than a disk takes checkpoints
SNAPSHOT_SECONDS = 300.0  # reports may be hours apart; what a crash costs must not be

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
        if 0 < share < 1 and config.evaluation.device != "cpu":
            torch.cuda.set_per_process_memory_fraction(share)
        measured = files.read_json(folder / "measured.json")
        data = jobs.load_of_study(config.data, folder)
        job = jobs.open_job(config, data, home=folder.parents[1], measured=measured)
        _workbench.clear()
        _workbench[key] = (config, job)
    return _workbench[key]


class Superseded(Exception):
    """Another worker has taken the trial over; what this one does counts no more."""


class TrialRun:
    """An attempt at trial `number` of the study in `study`; it supersedes all attempts before it.

    Args:
        study: the study's folder.
        number: the trial.
        session: of the driver that asked for it.
        folder: of the trial's files; None is the study's own. `hyperparameters.json` is read in the study's.
        node: of the cluster that it runs on, as `begun.json` shall say.
    """

    def __init__(
        self, study: Path, number: int, *, session: int = 0, folder: Path | None = None, node: str = ""
    ) -> None:
        self.study, self.number, self.session, self.node = study, number, session, node
        own = study / "trials" / str(number)
        self.files = TrialFiles(folder or own)
        self.attempt = self.files.claim()
        self.drawn = files.read_json(own / "hyperparameters.json")
        self.stop_sign = StopSign(study)
        self.accuracy, self.accuracy_std = math.nan, math.nan
        self.iteration, self.progress, self.began = 0, 0.0, 0
        self.started = time.perf_counter()
        self.written = self.started - CHECKPOINT_SECONDS  # an attempt that lives for one report gets farther
        self.replay: dict[str, Any] | None = None
        self.fresh, self.before = True, 0.0
        self.saved = -1  # iteration of the newest checkpoint of this attempt
        self.sums: dict[str, float] = {}
        self.steps, self.images, self.worked = 0, 0, 0.0
        self.checkpoint_mb, self.checkpoint_seconds = math.nan, math.nan
        try:
            self._open()
        except Exception as error:
            self.failed(error)
            raise

    def _open(self) -> None:
        self.config, self.job = workbench(self.study)
        self.job.check_assets(self.study)
        method, context = self.job.method, self.job.context
        self.hyperparameters = jobs.resolve(method, context, self.drawn["values"])
        search = self.config.search
        self.cadence = Cadence.of(
            method.total_iterations(context, self.hyperparameters.model_dump()),
            scheduler=search.scheduler,
            reduction_factor=search.reduction_factor,
            progress_floor=method.progress_floor,
        )
        self.distiller = self.job.distiller(self.drawn["values"], int(self.drawn["seed"]))
        self._continue()
        self.iteration, self.progress = self.distiller.iteration, self.distiller.progress

    def failed(self, error: BaseException) -> None:
        """Note why this attempt ended."""
        kind, why = failures.kind_of(error), failures.sentence(error)
        text = traceback.format_exc()
        self.attempt.failed(kind, why, text, session=self.session, iteration=self.began)

    def next_report(self) -> dict[str, Any]:
        """Run to the next milestone: a report, a rung, the end, or where it is asked to stop.

        Raises:
            Superseded: another worker has taken the trial over.
        """
        if self.replay is not None:
            # The driver may have died before it saw the last report; telling it twice is harmless.
            row, self.replay = self.replay, None
            return row
        try:
            return self._told(self._advance())
        except TrialDiverged as error:
            row = {**self._row({}), "outcome": "diverged", "why": str(error), "done": True}
            self.attempt.report(row)
            return row
        except stopping.Stopped:
            row = self._row({})
            self.attempt.stopped(row["seconds"])
            return {**row, **self._ending(self._sign() or {"why": ""})}

    def _told(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write a report down, before anybody hears of it."""
        self._leave_if_superseded()
        if row["evaluated"]:
            self._snapshot()
        self.attempt.report(row)
        if self.saved == self.distiller.iteration:
            self.attempt.reported(self.saved, row)
        sign = self._sign()
        if sign is not None and not row["done"]:
            return {**row, **self._ending(sign)}
        return row

    def _ending(self, sign: Mapping[str, str]) -> dict[str, Any]:
        by_hand = self.stop_sign.read(self.number) is not None
        return {"outcome": "pruned" if by_hand else "interrupted", "why": sign["why"], "done": True}

    def _sign(self) -> dict[str, str] | None:
        return self.stop_sign.read(self.number) or self.stop_sign.read()

    def _asked_to_stop(self) -> bool:
        self._leave_if_superseded()
        sign = self._sign()
        return sign is not None and sign["mode"] != REPORT

    def _leave_if_superseded(self) -> None:
        if self.attempt.superseded():
            raise Superseded(
                f"trial {self.number} was taken over by a later attempt than {self.attempt.number}"
            )

    def _advance(self) -> dict[str, Any]:
        """Up to the next milestone; raises `Stopped` behind a checkpoint."""
        whole = self.job.context.classes * self.job.context.ipc
        with stopping.asking(self._asked_to_stop):
            if self.fresh:
                self.fresh = False
                return self._evaluated({}, rung=0, rate=math.nan)
            while (milestone := self._milestone()) is None:
                try:
                    stopping.check()
                except stopping.Stopped:
                    self._snapshot()
                    raise
                with stopping.not_asking():  # a step that is cut off leaves no state to go on from
                    begun = time.perf_counter()
                    self.before = self.distiller.progress
                    self.images += getattr(self.distiller, "images_per_step", whole)
                    for name, value in self.distiller.step().items():
                        self.sums[name] = self.sums.get(name, 0.0) + value
                    self.steps += 1
                    self.worked += time.perf_counter() - begun
                self.iteration, self.progress = self.distiller.iteration, self.distiller.progress
                if time.perf_counter() - self.written > SNAPSHOT_SECONDS:
                    self._snapshot()
            done, rung = milestone
            losses = {name: value / self.steps for name, value in self.sums.items()}
            rate = self.images / max(self.worked, 1e-9)
            # An evaluation may take longer than all steps since the last one.
            if done or rung is not None or time.perf_counter() - self.written >= CHECKPOINT_SECONDS:
                self._snapshot()
            if done or rung is not None:
                row = self._evaluated(losses, rung=1000 if done else rung or 0, rate=rate)
            else:
                row = self._row(losses, rate=rate)
        self.sums, self.steps, self.images, self.worked = {}, 0, 0, 0.0
        return row

    def _milestone(self) -> tuple[bool, int | None] | None:
        """Whether all is done, and the rung that was reached; None between two milestones."""
        if not self.steps:
            return None
        after = self.distiller.progress
        done, rung = after >= 1.0 - 1e-9, self.cadence.rung_crossed(self.before, after)
        if done or rung is not None or self.distiller.iteration % self.cadence.report_every == 0:
            return done, rung
        return None

    def _evaluated(self, losses: Mapping[str, float], *, rung: int, rate: float) -> dict[str, Any]:
        settings = self.config.evaluation
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
            seed=int(self.drawn["seed"]),  # the study's, unless the trial is a further replicate of a grid
            split="val",
            device=str(self.job.device),
            precision=self.job.compute.precision,
            compiled=self.job.compute.compiled,
        )
        self.accuracy, self.accuracy_std = result.mean, result.std
        folder = self.attempt.folder
        # The teacher stays in the study's assets, where `load` finds it.
        distilled.save(folder / "distilled.safetensors", preview=folder / "grid.png", teacher=False)
        self.attempt.keep_preview(self.distiller.iteration)
        for name, content in self.distiller.pictures().items():
            files.write_bytes(folder / "pictures" / f"{name}.png", content)
        row = self._row(losses, evaluated=True, rung=rung, rate=rate)
        row.update({f"{MEASURE}{name}": value for name, value in self.distiller.measures().items()})
        if result.teacher_accuracy is not None:
            row[f"{MEASURE}teacher_accuracy"] = result.teacher_accuracy
        if rung == 1000:
            row.update(outcome="complete", done=True)
        return row

    def _row(
        self,
        losses: Mapping[str, float],
        *,
        evaluated: bool = False,
        rung: int = -1,
        rate: float = math.nan,
    ) -> dict[str, Any]:
        return {
            "number": self.number,
            "iteration": self.iteration,
            "progress": self.progress,
            "progress_thousandths": thousandths(self.progress),
            "evaluated": int(evaluated),
            "rung": rung,
            "val_accuracy": self.accuracy,
            "val_accuracy_std": self.accuracy_std,
            "seconds": time.perf_counter() - self.started,
            "images_per_second": rate,
            "memory_mb": peak_memory_mb(self.job.device),
            "checkpoint_mb": self.checkpoint_mb,
            "checkpoint_seconds": self.checkpoint_seconds,
            "attempt": self.attempt.number,
            "outcome": "",
            "why": "",
            "done": False,
            **{f"loss/{name}": value for name, value in losses.items()},
        }

    def _snapshot(self) -> None:
        """Leave a checkpoint of this iteration, if there is none."""
        if self.distiller.iteration == self.saved:
            return
        self._leave_if_superseded()
        self.saved = self.distiller.iteration
        begun = time.perf_counter()
        since = {name: getattr(self, name) for name in SINCE}
        size = self.attempt.checkpoint(self.distiller.iteration, self.distiller.state_dict(), since)
        self.written = time.perf_counter()
        if size:
            self.checkpoint_mb, self.checkpoint_seconds = size / 2**20, self.written - begun

    def _continue(self) -> None:
        """Go on from the farthest checkpoint that can be read, and say so."""
        origin = None
        for found in self.files.checkpoints():
            try:
                saved = found.load()
            except Exception:  # a damaged checkpoint must cost its iterations, not the trial
                continue
            self.distiller.load_state_dict(saved["state"])
            self.replay, origin = saved["report"], found
            if self.replay is None:
                for name in SINCE:
                    setattr(self, name, saved["since"][name])
            self.fresh = self.replay is None and found.iteration == 0
            self.saved = -1 if self.replay is None else found.iteration
            self.began = found.iteration
            break
        facts = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "node": self.node,
            "pid": os.getpid(),
            "session": self.session,
            "iteration": self.distiller.iteration,
        }
        self.attempt.begin(origin, facts)
        evaluated = [row for row in [*self.files.history(), self.replay or {}] if row.get("evaluated")]
        if evaluated:
            self.accuracy = float(evaluated[-1]["val_accuracy"])
            self.accuracy_std = float(evaluated[-1]["val_accuracy_std"])


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory of this process in MB: allocated GPU memory on CUDA, resident memory otherwise."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
