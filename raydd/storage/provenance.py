"""Where a result comes from: the manifest of a distilled set, versions of what computes, raydd's commit."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from raydd.formation import IDENTITY

if TYPE_CHECKING:
    from raydd.data import DataSplits
    from raydd.registry import Context

SCHEMA = 3

HARD = {"kind": "hard"}
"""Labels of a set whose images are trained on with their classes alone."""

PACKAGE = Path(__file__).resolve().parents[1]


@cache
def versions() -> dict[str, str]:
    """Versions of raydd, torch and Python."""
    return {
        "raydd": importlib.metadata.version("raydd"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _git(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            ["git", "-C", str(PACKAGE), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


@cache
def git_commit() -> str | None:
    """Commit of the checkout that raydd is imported from, with `-dirty` where its code was changed since.

    None where raydd is installed rather than checked out, also inside somebody else's repository.
    """
    tracked = _git("ls-files", "--error-unmatch", "__init__.py")
    head = _git("rev-parse", "HEAD")
    if tracked is None or head is None or tracked.returncode or head.returncode:
        return None
    changed = _git("diff", "--quiet", "HEAD", "--", ".", "../trainables", "../search_spaces")
    return head.stdout.strip() + ("-dirty" if changed is None or changed.returncode else "")


def computed(context: Context) -> dict[str, str]:
    """How networks are computed: `precision`, and `path` (`eager` or `compiled`)."""
    return {"precision": context.precision, "path": "compiled" if context.compiled else "eager"}


def manifest(
    *,
    method: str,
    hyperparameters: Mapping[str, Any],
    context: Context,
    data: DataSplits,
    seed: int,
    iteration: int,
    evaluation: Mapping[str, Any],
    decode: Mapping[str, Any] | None = None,
    pixels: str = "normalised",
    labels: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Manifest of a `DistilledSet`; JSON-able, without any time.

    Args:
        method: its name.
        hyperparameters: every number of the method.
        context, data, seed: what the method ran on.
        iteration: iterations that are done.
        evaluation: how to train on the set: `protocol`, `net`, `epochs`, `augmentation` and, where they are used,
            `cutmix`, `mixup`, `temperature`, `teacher_mode`.
        decode: how stored images become training images, see `raydd.formation.check_decode`; None keeps them.
        pixels: of the stored images, `normalised` or `unit` (in [0, 1]).
        labels: kind of the labels and their teacher, see `DistilledSet`; None is hard labels.
    """
    return {
        "schema": SCHEMA,
        "method": method,
        "hyperparameters": dict(hyperparameters),
        "ipc": context.ipc,
        "classes": data.classes,
        "class_names": list(data.class_names),
        "channels": data.channels,
        "size": data.size,
        "iterations": context.iterations,
        "iteration": iteration,
        "seed": seed,
        "data": {
            "name": data.name,
            "fingerprint": data.fingerprint,
            "train": data.train.fingerprint,
            "split": dict(data.split),
        },
        "normalisation": {"mean": list(data.normalisation.mean), "std": list(data.normalisation.std)},
        "pixels": pixels,
        "decode": dict(IDENTITY if decode is None else decode),
        "labels": dict(HARD if labels is None else labels),
        "evaluation": dict(evaluation),
        "computed": computed(context),
        "versions": versions(),
        "git": git_commit(),
    }
