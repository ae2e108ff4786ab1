"""Before a study runs on a cluster: does every node have the same raydd, and see the same folders?

A task on every node that is alive looks around there. What is wrong is said before anything was started, by the name
of the node: otherwise a trial would fail at its first checkpoint, or give other numbers than its neighbours.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from raydd import files, registry, wording
from raydd.config import INSTALLED, StudyConfig
from raydd.errors import ConfigError, RayddError, StageFailed, StudyError
from raydd.storage import assets
from raydd.tuning import cluster

PACKAGES = ("raydd", "torch", "ray", "numpy", "safetensors")
SOURCES = ("raydd", "trainables", "search_spaces")
ANSWER_SECONDS = 300.0  # a node's first import of raydd may come from a slow disk
OWN = "driver"  # the probe file of the process that starts the study


def check(config: StudyConfig, folder: Path) -> None:
    """Look at every node of the cluster that a study is to run on; a Ray on this machine alone needs none of it.

    Args:
        config: of the study.
        folder: that every node has to share: the study's, or of a new study the home. Nothing stays in it.

    Raises:
        ConfigError: one sentence for every node that cannot take part, or the cluster cannot be reached or holds no
            trial.
        StudyError: the folder cannot be written from here.
    """
    if config.resources.address is None and not _connected():
        return
    if config.resources.address is not None:
        cluster.check_address(config.resources.address)
    cluster.check_code(config.resources)
    try:
        with cluster.session(config.resources) as ray:
            cluster.slots(ray, config.resources)
            problems = look(ray, config, folder)
    except StageFailed as error:  # nothing of the study has run yet
        raise ConfigError(f"resources: {error}") from None
    if problems:
        raise ConfigError(problems)


def _connected() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def look(ray: Any, config: StudyConfig, folder: Path) -> list[str]:
    """What is wrong with the nodes of the connected cluster, one sentence each.

    Args:
        ray: connected.
        config: of the study.
        folder: that every node has to share.

    Raises:
        StudyError: the folder cannot be written from here.
    """
    shared = [folder]
    if config.resources.assets is not None:
        shared.append(assets.root(config.home, config.resources.assets))
    mine = facts(config.method)
    problems = []
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(probe(each)) for each in shared]
        task = ray.remote(num_cpus=0, max_retries=0)(_shim())
        where = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        asked = {}
        for node in cluster.nodes(ray):
            strategy = where(node_id=node["NodeID"], soft=False)
            arguments = (config.method, config.data.name, probes, node["NodeID"])
            asked[task.options(scheduling_strategy=strategy).remote(arguments)] = node
        ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_SECONDS)
        for answer, node in asked.items():
            problem = _problem(ray, answer, node, mine, probes, config)
            if problem:
                problems.append(
                    f"node {node['NodeManagerHostname']} ({node['NodeManagerAddress']}) {problem}; "
                    "nothing was started"
                )
    return problems


def _problem(
    ray: Any,
    answer: Any,
    node: Mapping[str, Any],
    mine: Mapping[str, str],
    probes: Sequence[Path],
    config: Any,
) -> str:
    """What is wrong with one node, and what to do about it; empty where it can take part."""
    try:
        seen = ray.get(answer, timeout=0)
    except ray.exceptions.GetTimeoutError:
        return f"did not answer within {ANSWER_SECONDS:g} s; look at it, or take it out of the cluster"
    except ray.exceptions.RuntimeEnvSetupError as error:
        return f"could not be given {config.resources.code}: {wording.last_line(error)}; see Ray's logs there"
    except ray.exceptions.RayError as error:
        return (
            f"could not be looked at ({wording.last_line(error)}); try again, or take it out of the cluster"
        )
    remedy = "install raydd there, in the Python that Ray runs with"
    if config.resources.code == INSTALLED:
        remedy += ", or send a wheel of it along (resources.code)"
    if "missing" in seen:
        return f"cannot import raydd ({seen['missing']}); {remedy}"
    difference = differing(mine, seen["facts"], config.resources.code)
    if difference:
        return difference
    for path, said in zip(probes, seen["probes"]):
        if said:
            return f"{said} {path.parent}; name a folder that all nodes share and can write (--home or RAYDD_HOME)"
        if not (path / node["NodeID"]).exists():
            return f"writes what is not seen here into {path.parent}; name a folder that all nodes share"
    if seen["data"]:
        return f"does not have the images {seen['data']}; put them where all nodes see them"
    return ""


def differing(mine: Mapping[str, str], theirs: Mapping[str, str], code: str = INSTALLED) -> str:
    """How a node's installation differs from this process's, and what to do; empty where it does not."""
    for name, here in mine.items():
        there = theirs.get(name, "none")
        if there == here:
            continue
        if name.startswith("the sources of"):
            remedy = (
                "install the same on all nodes, or send a wheel along (resources.code)"
                if code == INSTALLED
                else f"build {code} anew from what is installed here"
            )
            return f"has other {name.removeprefix('the ')} than this process ({there} and {here}); {remedy}"
        return f"has {name} {there}, and this process has {here}; give all nodes the same versions"
    return ""


@contextlib.contextmanager
def probe(folder: Path) -> Iterator[Path]:
    """A folder in `folder`, for as long as the block lasts, in which this process has left a file.

    Raises:
        StudyError: the folder cannot be written.
    """
    missing = [path for path in [folder, *folder.parents] if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=".probe-", dir=folder))
        files.write_text(path / OWN, secrets.token_hex(8))
    except OSError as error:
        raise StudyError(f"home: {folder} cannot be written: {error.strerror}") from None
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):  # somebody else has begun something there
            for made in missing:
                made.rmdir()


@functools.cache
def facts(method: str) -> dict[str, str]:
    """What has to be equal on all nodes, by a name for people: versions, and digests of sources."""
    found = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "none"
    found["the sources of raydd"] = digest(SOURCES)
    found[f"the sources of method {method}"] = digest_of_method(method)
    return found


def digest(packages: Sequence[str]) -> str:
    """The first 12 hex digits of the sha256 over all `.py` files of packages, found as they would be imported."""
    total = hashlib.sha256()
    for package in packages:
        spec = importlib.util.find_spec(package)
        for root in sorted(spec.submodule_search_locations or []) if spec else []:
            for path in sorted(Path(root).rglob("*.py")):
                total.update(f"{package}/{path.relative_to(root)}\n".encode())
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:12]


def digest_of_method(method: str) -> str:
    """As `digest`, of the file that defines an installed method; in words where there is none."""
    try:
        file = inspect.getsourcefile(type(registry.get(method)))
    except (RayddError, ImportError, TypeError) as error:
        return f"none: {wording.last_line(error)}"
    return "unknown" if file is None else files.file_digest(Path(file))[:12]


def _shim() -> Callable[[tuple[Any, ...]], dict[str, Any]]:
    """`look_around` for a node that may have no raydd; a nested function travels whole, not by its name.

    The import brings torch along, so that a node where torch cannot be loaded is found here too.
    """

    def shim(arguments: tuple[Any, ...]) -> dict[str, Any]:
        try:
            from raydd.tuning.preflight import look_around
        except ImportError as error:
            return {"missing": str(error)}
        return look_around(*arguments)

    return shim


def look_around(method: str, data: str, probes: Sequence[Path], node: str) -> dict[str, Any]:
    """What a node sees; runs there.

    Args:
        method: of the study.
        data: name of the data; a path is looked at.
        probes: folders of `probe`.
        node: its id, which names the file that it leaves in each of them.

    Returns:
        `facts`, a phrase for each of `probes` that is empty where all is well, and `data`, the path if it is missing.
    """
    missing = data if os.path.isabs(data) and not Path(data).is_dir() else ""
    return {"facts": facts(method), "probes": [_phrase(path, node) for path in probes], "data": missing}


def _phrase(path: Path, node: str) -> str:
    """What is wrong with a probe's folder on this machine; empty where it is shared and can be written."""
    try:
        token = (path / OWN).read_text()
    except OSError:
        return "does not see what this process writes into"
    try:
        files.write_text(path / node, token)
    except OSError as error:
        return f"cannot write ({error.strerror}) into"
    return ""
