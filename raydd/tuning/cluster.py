"""Starting the Ray that a study runs on, always with token authentication, or joining a running one."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raydd import devices
from raydd.cadence import SMALLEST_STUDY
from raydd.config import ResourcesConfig, StudyConfig
from raydd.errors import ConfigError, StageFailed

# Ray reads these when it is imported or when a worker starts; what the user has set stays.
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "60",
}


def check(resources: ResourcesConfig, device: str = "auto") -> None:
    """Refuse what this machine can never hold, before Ray starts.

    Raises:
        ConfigError: more CPUs or GPUs per trial than there are, a `ray://` address, or a device that the
            trials will not have.
    """
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not (kind == "cuda" and index.isdigit())):
        raise ConfigError(f"evaluation.device: {device!r} is not one of auto, cpu, cuda")
    if kind == "cuda" and resources.gpus_per_trial == 0:
        raise ConfigError(
            f"evaluation.device: {device!r} needs a share of a GPU for every trial; "
            "add --gpus-per-trial, such as 0.5"
        )
    if int(index or 0) > 0:
        raise ConfigError(
            f"evaluation.device: {device!r} cannot be chosen, because Ray gives each trial its GPU; use cuda"
        )
    if resources.address is not None:
        if resources.address.startswith("ray://"):
            raise ConfigError(
                f"resources.address: {resources.address!r} is a Ray Client address, which Ray Tune does not "
                "support; run the command on a node of the cluster with its HOST:PORT address, or as a Ray job"
            )
        return
    cpus = devices.available_cpus()
    if resources.cpus_per_trial > cpus:
        raise ConfigError(
            f"resources.cpus_per_trial: {resources.cpus_per_trial} are asked for, this machine has {cpus}"
        )
    if resources.gpus_per_trial > 0:
        import torch

        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if resources.gpus_per_trial > gpus:
            raise ConfigError(
                f"resources.gpus_per_trial: {resources.gpus_per_trial:g} is asked for, this machine has {gpus} GPUs"
            )


@contextlib.contextmanager
def session(resources: ResourcesConfig) -> Iterator[Any]:
    """A connected `ray` module; a Ray that was started here is shut down at the end.

    A Ray of our own is `address="local"`, so that a cluster's left-over address file cannot draw the study
    elsewhere, and has token authentication.

    Raises:
        StageFailed: Ray could not be started, or not with authentication.
    """
    devices.prepare_environment()  # the workers of a Ray that is started here inherit it
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    with contextlib.ExitStack() as stack:
        if not ray.is_initialized():
            if resources.address is None:
                stack.enter_context(_fresh_token())
            local: dict[str, Any] = {"num_cpus": devices.available_cpus(), "include_dashboard": False}
            stack.callback(ray.shutdown)
            try:
                ray.init(
                    address=resources.address or "local",
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    **({} if resources.address else local),
                )
            except (ConnectionError, RuntimeError, ValueError) as error:
                where = resources.address or "on this machine"
                raise StageFailed(f"Ray {where} could not be reached: {_last_line(error)}") from error
        for name in ("ray", "ray.tune", "ray.train", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # failures are told by us, once
        yield ray


@contextlib.contextmanager
def _fresh_token() -> Iterator[None]:
    """Give the next Ray of this process a token of its own; a mode or token that the user has set stays.

    Ray's ports cannot all be bound to loopback, so without a token anybody who reaches the machine could
    run code in the study.
    """
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ or "RAY_AUTH_MODE" in os.environ:
        yield
        return
    raylet: Any = importlib.import_module("ray._raylet")

    with tempfile.TemporaryDirectory(prefix="raydd-ray-") as folder:
        token = Path(folder) / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))
        try:
            # Ray reads both once, when it is imported, which may have been long ago.
            raylet.Config.initialize("")
            raylet.AuthenticationTokenLoader.instance().reset_cache()
            if raylet.get_authentication_mode() != raylet.AuthenticationMode.TOKEN:
                raise StageFailed(
                    "Ray did not switch token authentication on; set RAY_AUTH_MODE=token yourself"
                )
            yield
        finally:
            del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN_PATH"]


def slots(ray: Any, resources: ResourcesConfig) -> int:
    """How many trials fit on the connected cluster at once.

    Raises:
        StageFailed: not a single one; Ray would wait for ever.
    """
    total = ray.cluster_resources()
    cpus, gpus, share = total.get("CPU", 0), int(total.get("GPU", 0)), resources.gpus_per_trial
    count = int(cpus // resources.cpus_per_trial)
    if share > 0:
        count = min(count, gpus * int(1 / share + 1e-9) if share <= 1 else gpus // int(share))
    if count == 0:
        raise StageFailed(
            f"no trial fits on this Ray: it has {cpus:g} CPUs and {gpus} GPUs, and a trial takes "
            f"{resources.cpus_per_trial} and {share:g}"
        )
    return count


def placement(ray: Any, config: StudyConfig, concurrency: int) -> list[str]:
    """How the trials are laid out on the connected cluster, and a warning where few at once leave nothing to prune.

    Args:
        ray: connected.
        config: of the study.
        concurrency: trials at once.
    """
    resources, search = config.resources, config.search
    share, total = resources.gpus_per_trial, ray.cluster_resources()
    if 0 < share <= 1:
        each = int(1 / share + 1e-9)
        what = f"{int(total.get('GPU', 0))} GPUs x {each} trials = {int(total.get('GPU', 0)) * each} at once"
        lines = [f"{what}; {concurrency} are run at once, {resources.cpus_per_trial} CPUs each"]
    else:
        gpus = f" and {share:g} GPUs" if share else ""
        lines = [f"{concurrency} trials at once, {resources.cpus_per_trial} CPUs{gpus} each"]
    if (
        search.scheduler == "asha"
        and 1 < concurrency < search.reduction_factor
        and search.trials >= SMALLEST_STUDY
    ):
        lines.append(
            f"warning: {concurrency} trials at once are fewer than search.reduction_factor, {search.reduction_factor}; "
            "trials meet few others at a rung before they are judged there, and little is stopped early"
        )
    return lines


def fetch(ray: Any, reference: Any, failure: str) -> Any:
    """The result of a Ray task.

    Raises:
        StageFailed: the task failed; the sentence ends with the task's own last line.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if isinstance(error.cause, Exception) else error
        raise StageFailed(f"{failure}: {_last_line(cause)}") from error
    except ray.exceptions.RayError as error:
        raise StageFailed(f"{failure}: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def task_options(resources: ResourcesConfig) -> dict[str, Any]:
    """Resources of a task: those of a trial, so that threads and device are the same."""
    return {"num_cpus": resources.cpus_per_trial, "num_gpus": resources.gpus_per_trial}
