"""What a few real steps and a short evaluation take: measured in one process that has what a trial has.

`raydd.tuning.measuring` is that process. Nothing is trained but what is measured, and all files lie in a temporary
folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raydd import files
from raydd.errors import StudyError

if TYPE_CHECKING:
    from raydd.config import StudyConfig
    from raydd.registry import Scalar

REQUEST, RESULT = "request.json", "result.json"
PROCESS = "raydd.tuning.measuring"


@dataclass(frozen=True)
class Measured:
    """Seconds and bytes of the parts of a trial; the trial's setting is trial 0's.

    Attributes:
        device: `cpu` or `cuda`, and `device_name` for people.
        load: processes that wanted a CPU of the machine, when it began.
        process: seconds from the start of a process until the data are loaded.
        open: of these, seconds to load the data.
        start: seconds that a distiller takes to stand at iteration 0.
        warm_up: seconds that the first steps and the first evaluation of a process took longer than later ones.
        step: seconds of a step whose real side is computed.
        steps: how many were measured.
        banked_step: seconds of a step whose real side is read from the target bank; None where nothing was read.
        renewal: seconds that a step takes longer with which something is begun anew, such as a network or an image.
        period: iterations from one of these to the next; 0 where there are none.
        evaluation: seconds of an evaluation whatever its epochs.
        epoch: seconds of one epoch of its networks' training.
        checkpoint: seconds to write a checkpoint.
        checkpoint_bytes: of one at the end of a trial.
        set_bytes: of a distilled set with its pictures.
        block_bytes: of one block of the target bank, 0 where none is kept.
        memory: peak of resident memory in bytes.
        gpu_memory: peak of reserved GPU memory and what CUDA itself takes, in bytes, of `gpu_total`; 0 on a CPU.
        assets: seconds to train each asset; 0 for one that is there already, or comes from elsewhere.
        asset_bytes: size of the weights of all assets that are not there yet.
    """

    device: str
    device_name: str
    gpus: int
    load: float
    process: float
    open: float
    start: float
    warm_up: float
    step: float
    steps: int
    banked_step: float | None
    renewal: float
    period: int
    evaluation: float
    epoch: float
    checkpoint: float
    checkpoint_bytes: int
    set_bytes: int
    block_bytes: int
    memory: int
    gpu_memory: int
    gpu_total: int
    assets: list[float]
    asset_bytes: int


def measure(config: StudyConfig, values: Mapping[str, Scalar]) -> Measured:
    """Measure a trial of a study that has been checked, and leave nothing behind.

    Args:
        config: with every default filled in.
        values: hyperparameters of the trial.

    Raises:
        StudyError: the steps cannot be run; why.
    """
    environment = {"OMP_NUM_THREADS": str(config.resources.cpus_per_trial), **os.environ}  # as Ray sets it
    with tempfile.TemporaryDirectory(prefix="raydd-dry-run-") as name:
        folder = Path(name)
        request = {"config": config.model_dump(), "values": dict(values), "begun": time.time()}
        files.write_json(folder / REQUEST, request)
        done = subprocess.run(
            [sys.executable, "-m", PROCESS, name],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        path = folder / RESULT
        if not path.exists():
            lines = done.stderr.strip().splitlines()
            why = lines[-1] if lines and done.returncode > 0 else "it was killed, perhaps for want of memory"
            raise StudyError(f"the process that measures a trial ended with status {done.returncode}: {why}")
        result = files.read_json(path)
    if "why" in result:
        raise StudyError(f"a trial cannot be measured: {result['why']}")
    return Measured(**result)
