"""Starting the Ray that a study runs on, always with token authentication, or joining a running one."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import re
import secrets
import socket
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from raydd import devices, failures, wording
from raydd.config import INSTALLED, ResourcesConfig, StudyConfig
from raydd.errors import ConfigError, StageFailed, StudyStopped

# Ray reads these when it is imported or when a worker starts; what the user has set stays.
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray kills workers that do not report within 60 s, and starts others: on a busy node, or where Python comes from a
    # slow shared disk, a dozen that begin at once would never get there.
    "RAY_worker_register_timeout_seconds": "600",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "60",
}

AUTO = "auto"  # the cluster that RAY_ADDRESS names, or the one that runs on this machine
ANSWER_SECONDS = 10.0  # for the head of a cluster to take a connection
TASK_RETRIES = 3  # of a task whose worker or node was lost; errors of its own are not tried again


def check(resources: ResourcesConfig, device: str = "auto") -> None:
    """Refuse what this machine can never hold, before Ray starts.

    Raises:
        ConfigError: more CPUs or GPUs per trial than there are, an address that is no HOST:PORT, or a device
            that the trials will not have.
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
    check_code(resources)
    if resources.address is not None:
        check_address(resources.address)
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


def check_address(address: str) -> None:
    """Refuse what cannot be the address of a Ray cluster, the one in RAY_ADDRESS where `address` is `auto`.

    Raises:
        ConfigError: a `ray://` address, or none of HOST:PORT and `auto`.
    """
    meant = located(address)
    where = "resources.address" if meant == address else "RAY_ADDRESS"
    if meant.startswith("ray://"):
        raise ConfigError(
            f"{where}: {meant!r} is a Ray Client address, which Ray Tune does not "
            "support; run the command on a node of the cluster with its HOST:PORT address, or as a Ray job"
        )
    if meant != AUTO and re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}", meant) is None:
        raise ConfigError(f"{where}: {meant!r} must be HOST:PORT of a Ray cluster's head, or auto")


def check_code(resources: ResourcesConfig) -> None:
    """Refuse a wheel that is not there.

    Raises:
        ConfigError: which file.
    """
    if resources.code != INSTALLED and not Path(resources.code).is_file():
        raise ConfigError(
            f"resources.code: there is no file {resources.code}; build it with `pip wheel . --no-deps -w dist`, "
            "or leave resources.code out where raydd is installed on all nodes"
        )


def located(address: str) -> str:
    """`address`, or what RAY_ADDRESS says where it is `auto`."""
    return (os.environ.get("RAY_ADDRESS") or AUTO) if address == AUTO else address


@contextlib.contextmanager
def session(resources: ResourcesConfig) -> Iterator[Any]:
    """A connected `ray` module; a Ray that was started here is shut down at the end.

    A Ray of our own is `address="local"`, so that a cluster's left-over address file cannot draw the study
    elsewhere, and has token authentication.

    Raises:
        StageFailed: Ray could not be started, or not with authentication, or the cluster does not let us in.
    """
    devices.prepare_environment()  # the workers of a Ray that is started here inherit it
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    with contextlib.ExitStack() as stack:
        if not ray.is_initialized():
            if resources.address is None:
                stack.enter_context(_fresh_token())
                where: dict[str, Any] = {"num_cpus": devices.available_cpus(), "include_dashboard": False}
            else:
                _knock(resources.address)
                where = {}
            if resources.code != INSTALLED:
                where["runtime_env"] = {"py_modules": stack.enter_context(unpacked(Path(resources.code)))}
            stack.callback(ray.shutdown)
            try:
                with _group_of_its_own():
                    ray.init(
                        address=resources.address or "local",
                        log_to_driver=False,
                        logging_level=logging.CRITICAL,
                        **where,
                    )
            except (OSError, RuntimeError, ValueError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # a full disk, which the caller knows about
                raise StageFailed(_unreachable(resources.address, error)) from error
        for name in ("ray", "ray.tune", "ray.train", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # failures are told by us, once
        stack.enter_context(_raylets_silenced())
        yield ray


@contextlib.contextmanager
def _raylets_silenced() -> Iterator[None]:
    """Keep what Ray says of a lost worker or node off stdout, where `--json` writes; `log_to_driver` does not.

    It is up to a page of a raylet's own log. There is no public switch, so where the private one is gone the page
    comes back, and nothing else happens.
    """
    worker: Any = importlib.import_module("ray._private.worker")
    before = getattr(worker, "_worker_logs_enabled", True)
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = before


@contextlib.contextmanager
def unpacked(wheel: Path) -> Iterator[list[str]]:
    """The folders in a wheel, for as long as the block lasts: packages, and the one that tells of entry points.

    Ray is given these and not the wheel, which it would install with all that it depends on: another torch.

    Raises:
        ConfigError: the file is no wheel.
    """
    with tempfile.TemporaryDirectory(prefix="raydd-wheel-") as folder:
        try:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
        except (OSError, zipfile.BadZipFile) as error:
            raise ConfigError(f"resources.code: {wheel} cannot be read as a wheel: {error}") from None
        yield sorted(str(path) for path in Path(folder).iterdir() if path.is_dir())


def _knock(address: str) -> None:
    """See whether anybody listens at a cluster's address: Ray itself would try for minutes, then end the process.

    Raises:
        StageFailed: nobody does.
    """
    meant = located(address)
    if meant == AUTO:
        return  # Ray finds the cluster on this machine, or says at once that there is none
    host, _, port = meant.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        raise StageFailed(
            f"no Ray cluster answers at {meant} ({reason}); start one with `ray start --head`, or name its "
            "HOST:PORT with --address"
        ) from None


def _unreachable(address: str | None, error: Exception) -> str:
    if address is None:
        return f"Ray on this machine could not be reached: {wording.last_line(error)}"
    hint = ""
    if isinstance(error, ConnectionError) and "RAY_AUTH_TOKEN" not in os.environ:
        hint = (
            "; where it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the file with it"
        )
    if isinstance(error, RuntimeError) and "ersion" in str(error):
        lines = " ".join(str(error).split())
        return f"the Ray cluster at {located(address)} is of another version: {lines}"
    return f"the Ray cluster at {located(address)} could not be joined: {wording.last_line(error)}{hint}"


@contextlib.contextmanager
def _group_of_its_own() -> Iterator[None]:
    """Processes that are started in the block are in another process group than this one.

    `timeout` and some schedulers send SIGTERM to the whole group. Ray would be gone before its trials had left their
    checkpoints.
    """
    group = os.getpgrp()
    try:
        os.setpgid(0, 0)
    except OSError:  # the leader of a session stays in its group
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # a group whose last process this was is gone
            os.setpgid(0, group)


@contextlib.contextmanager
def _fresh_token() -> Iterator[None]:
    """Give the next Ray of this process a token, the user's own where one is set; a mode that is set stays.

    Ray's ports cannot all be bound to loopback, so without a token anybody who reaches the machine could
    run code in the study.
    """
    if "RAY_AUTH_MODE" in os.environ:
        yield
        return
    raylet: Any = importlib.import_module("ray._raylet")

    own = not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ)
    with tempfile.TemporaryDirectory(prefix="raydd-ray-") as folder:
        if own:
            token = Path(folder) / "token"
            token.touch(mode=0o600)
            token.write_text(secrets.token_hex(32))
            os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
        os.environ["RAY_AUTH_MODE"] = "token"
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
            del os.environ["RAY_AUTH_MODE"]
            if own:
                del os.environ["RAY_AUTH_TOKEN_PATH"]


def nodes(ray: Any) -> list[dict[str, Any]]:
    """The nodes that are alive, as `ray.nodes()` tells them."""
    return [node for node in ray.nodes() if node["Alive"]]


def room(node: Mapping[str, Any], resources: ResourcesConfig) -> int:
    """How many trials fit on one node at once: neither CPUs nor a share of a GPU can come from two nodes."""
    total, share = node["Resources"], resources.gpus_per_trial
    count = int(total.get("CPU", 0) // resources.cpus_per_trial)
    gpus = int(total.get("GPU", 0))
    if share > 0:
        count = min(count, gpus * int(1 / share + 1e-9) if share <= 1 else gpus // int(share))
    return count


def slots(ray: Any, resources: ResourcesConfig) -> int:
    """How many trials fit on the connected cluster at once.

    Raises:
        StageFailed: not a single one; Ray would wait for ever.
    """
    alive = nodes(ray)
    count = sum(room(node, resources) for node in alive)
    if count == 0:
        cpus, gpus = (max((n["Resources"].get(k, 0) for n in alive), default=0) for k in ("CPU", "GPU"))
        where = "it has" if len(alive) == 1 else f"the largest of its {len(alive)} nodes have"
        raise StageFailed(
            f"no trial fits on this Ray: {where} {cpus:g} CPUs and {int(gpus)} GPUs, and a trial takes "
            f"{resources.cpus_per_trial} and {resources.gpus_per_trial:g}"
        )
    return count


def placement(ray: Any, config: StudyConfig, concurrency: int) -> list[str]:
    """How the trials are laid out on the connected cluster.

    Args:
        ray: connected.
        config: of the study.
        concurrency: trials at once.
    """
    resources = config.resources
    share, used = resources.gpus_per_trial, [node for node in nodes(ray) if room(node, resources)]
    if 0 < share <= 1:
        each = int(1 / share + 1e-9)
        gpus = sum(int(node["Resources"].get("GPU", 0)) for node in used)
        what = f"{gpus} GPUs x {each} trials = {gpus * each} at once"
        if sum(room(node, resources) for node in used) < gpus * each:
            what += f", of which the CPUs hold {sum(room(node, resources) for node in used)}"
        lines = [f"{what}; {concurrency} are run at once, {resources.cpus_per_trial} CPUs each"]
    else:
        shares = f" and {share:g} GPUs" if share else ""
        lines = [f"{concurrency} trials at once, {resources.cpus_per_trial} CPUs{shares} each"]
    if len(used) > 1:
        names = [f"{node['NodeManagerHostname']} {room(node, resources)}" for node in used]
        lines.append(f"{len(used)} nodes hold trials: {', '.join(names)}")
    return lines


def fetch(ray: Any, reference: Any, failure: str) -> Any:
    """The result of a Ray task.

    Raises:
        StageFailed: the task failed; the sentence ends with the task's own last line.
        StudyStopped: because the disk is full, which passes.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if isinstance(error.cause, Exception) else error
        if failures.kind_of(cause) == "disk":
            raise StudyStopped(
                f"{failure}: the disk is full ({wording.last_line(cause)}); free some"
            ) from error
        raise StageFailed(f"{failure}: {wording.last_line(cause)}") from error
    except ray.exceptions.RayError as error:
        raise StageFailed(f"{failure}: {wording.last_line(error)}") from error


def task_options(ray: Any, resources: ResourcesConfig) -> dict[str, Any]:
    """Resources of a task: those of a trial, so that threads and device are the same; on the least busy node.

    A task whose node is lost is run again elsewhere. What it leaves counts only with its result, written last.

    Raises:
        StageFailed: no node has them; see `slots`.
    """
    slots(ray, resources)
    return {
        "num_cpus": resources.cpus_per_trial,
        "num_gpus": resources.gpus_per_trial,
        "scheduling_strategy": "SPREAD",
        "max_retries": TASK_RETRIES,
    }
